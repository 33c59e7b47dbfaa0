import assert from 'node:assert/strict';
import { test } from 'node:test';

import { paths, roundUp, stretches } from '../src/curve.ts';
import type { Sample } from '../src/curve.ts';

const frame = { width: 100, height: 50, from: 0, to: 100, max: 10 };

test('a line goes from the lower left to the upper right', () => {
  const samples: Sample[] = [
    [0, 0],
    [50, 5],
    [100, 10]
  ];
  const { line, area } = paths(samples, frame, 60);
  assert.equal(line, 'M0 50L50 25L100 0');
  assert.equal(area, 'M0 50L0 50L50 25L100 0L100 50Z');
});

test('where nothing was measured the line has a hole', () => {
  const samples: Sample[] = [
    [0, 1],
    [10, 1],
    [20, null],
    [30, 1],
    [95, 1]
  ];
  assert.deepEqual(
    stretches(samples, 30).map(stretch => stretch.map(([at]) => at)),
    [[0, 10], [30], [95]]
  );
});

test('what is above the scale or before its begin stays inside the picture', () => {
  const samples: Sample[] = [
    [-10, 5],
    [0, 20],
    [100, -3]
  ];
  assert.equal(paths(samples, frame, 200).line, 'M0 0L100 50');
});

test('without a sample there is no line, and a single one is a dot', () => {
  assert.deepEqual(paths([], frame, 10), { line: '', area: '' });
  assert.equal(paths([[50, 5]], frame, 10).line, 'M50 25h1');
});

test('no scale is empty', () => {
  const empty: Sample[] = [
    [0, 0],
    [100, 0]
  ];
  assert.equal(paths(empty, { ...frame, max: 0 }, 200).line, 'M0 50L100 50');
  assert.deepEqual([0, 0.3, 1, 7, 130, 2001].map(roundUp), [1, 0.5, 1, 10, 200, 5000]);
});
