import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Job } from '../src/job.ts';
import { info } from './fakes.ts';

test('time goes on between two messages, by a clock of its own', () => {
  let now = 100;
  const job = new Job(() => now);
  assert.equal(job.timeLeft(), null);
  job.receive(info({ job: { time_left_s: 60 } }), 1_000);
  now += 15;
  assert.equal(job.timeLeft(), 45);
  now += 100;
  assert.equal(job.timeLeft(), 0);
  job.receive(info({ job: { time_left_s: null } }), 1_115);
  assert.equal(job.timeLeft(), null);
});

test('what was measured before the page was open comes first, each point once', () => {
  const job = new Job(() => 0);
  job.receive(info(), 1_000);
  job.remember(
    {
      step_s: 5,
      points: [
        [990, 10, 1],
        [995, 20, 2],
        [1_000, 30, 3]
      ]
    },
    1_001
  );
  assert.deepEqual(
    job.points.map(([at]) => at),
    [990, 995, 1_000]
  );
});

test('a clock of the node that is an hour off moves no curve out of the picture', () => {
  const job = new Job(() => 0);
  job.receive(info(), 10_000);
  job.remember(
    {
      step_s: 5,
      points: [
        [13_590, 10, 1],
        [13_600, 20, 2]
      ]
    },
    10_001
  );
  assert.deepEqual(
    job.points.map(([at]) => at),
    [9_991, 10_000]
  );
});

test('an hour is kept', () => {
  const job = new Job(() => 0);
  for (let at = 0; at <= 4_000; at += 100) {
    job.receive(info(), at);
  }
  assert.equal(job.points[0]![0], 400);
  assert.equal(job.points.length, 37);
});

test('a history that is none is left alone', () => {
  const job = new Job(() => 0);
  job.remember({} as never, 0);
  job.remember({ step_s: 5, points: [null, 'x'] as never }, 0);
  assert.deepEqual(job.points, []);
});
