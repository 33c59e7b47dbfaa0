import assert from 'node:assert/strict';
import { test } from 'node:test';

import { clock, duration, memory, memoryOf, percent, shorten, state, statusText } from '../src/words.ts';
import { english, info } from './fakes.ts';

test('memory has a unit that suits it', () => {
  const read = (mb: number | null): string => memory(mb, english);
  assert.deepEqual([0, 850.4, 1023.6, 1024, 1229, 10240, 65536].map(read), ['0 MB', '850 MB', '1 GB', '1 GB', '1.2 GB', '10 GB', '64 GB']);
  assert.deepEqual([null, NaN, Infinity].map(read), ['–', '–', '–']);
});

test('memory of a limit names the unit once where both have the same', () => {
  assert.equal(memoryOf(1229, 4096, english), '1.2 of 4 GB');
  assert.equal(memoryOf(850, 4096, english), '850 MB of 4 GB');
  assert.equal(memoryOf(850, null, english), '850 MB');
});

test('a time has its two largest units', () => {
  const read = (seconds: number | null): string => duration(seconds, english);
  assert.deepEqual([-3, 45, 119, 120, 599, 3600, 7830, 172800, 183600, null].map(read), [
    '0 s',
    '45 s',
    '119 s',
    '2 min',
    '9 min',
    '1 h',
    '2 h 10 min',
    '2 d',
    '2 d 3 h',
    '–'
  ]);
});

test('the end has its day only where it is not today', () => {
  const now = new Date(2026, 2, 2, 13, 0);
  assert.equal(clock(new Date(2026, 2, 2, 14, 35), now, 'en-GB'), '14:35');
  assert.equal(clock(new Date(2026, 2, 3, 0, 5), now, 'en-GB'), 'Tue 00:05');
  assert.equal(clock(new Date(2026, 2, 20, 9, 0), now, 'en-GB'), '20 Mar 09:00');
});

test('the status line leaves out what nobody knows', () => {
  assert.equal(statusText(info(), 7800, english), 'Regular · 1.2 of 4 GB · 2 h 10 min left · worker1');
  const bare = info({ class: { title: null, name: null }, memory: { used_mb: 300, limit_mb: null }, node: { name: null } });
  assert.equal(statusText(bare, null, english), '300 MB');
});

test('amber from 80 % or in the last ten minutes, red from 95 % or in the last two, always with words', () => {
  const level = (fraction: number | null, left: number | null): string => {
    const { level: found, reasons } = state(info({ memory: { fraction } }), left, english);
    assert.equal(reasons.length > 0, found !== 'ok');
    return found;
  };
  assert.deepEqual([level(0.79, 601), level(0.8, 601), level(0.95, 601)], ['ok', 'warning', 'error']);
  assert.deepEqual([level(0.1, 600), level(0.1, 120), level(0.8, 120)], ['warning', 'error', 'error']);
  assert.deepEqual([level(null, null), level(null, 0)], ['ok', 'error']);
});

test('a long message is cut at a word, and one says that it was', () => {
  assert.deepEqual(shorten('short', 10), { text: 'short', cut: false });
  assert.deepEqual(shorten('one two three four', 12), { text: 'one two…', cut: true });
  assert.deepEqual(shorten('x'.repeat(200), 140), { text: `${'x'.repeat(139)}…`, cut: true });
  assert.equal(shorten('two\nlines', 140).cut, true);
});

test('a share that is not known is no number', () => {
  assert.deepEqual([percent(0.834), percent(null), percent(NaN)], ['83 %', '–', '–']);
});
