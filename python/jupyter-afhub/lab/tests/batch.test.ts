import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Refresher, countsText, groupTitle, jobText, readBatch, reasonText } from '../src/batchmodel.ts';
import type { BatchGroup, BatchJob } from '../src/batchmodel.ts';
import { english } from './fakes.ts';

const counts = { idle: 0, running: 0, held: 0, leaving: 0 };
const job = (changes: Partial<BatchJob> = {}): BatchJob => ({
  id: '12.0',
  state: 'running',
  for_s: 300,
  reason: null,
  host: 'worker1.af.test',
  command: 'python fit.py',
  files: [],
  ...changes
});
const group = (changes: Partial<BatchGroup> = {}): BatchGroup => ({
  id: '0123456789abcdef',
  tool: 'dask',
  name: 'dask-worker',
  server: '',
  counts,
  jobs: [job()],
  not_listed: 0,
  ...changes
});
const answer = (changes: object = {}): object => ({
  version: 1,
  configured: true,
  problem: null,
  at: '2026-01-01T12:00:00Z',
  counts,
  more: false,
  groups: [group()],
  pages: [],
  ...changes
});

test('an answer that is none of a batch pool is none', () => {
  assert.ok(readBatch(answer()));
  for (const wrong of [
    null,
    'text',
    [],
    {},
    { configured: false },
    answer({ counts: null }),
    answer({ groups: [7] }),
    answer({ groups: [group({ jobs: [{ id: 3 } as unknown as BatchJob] })] }),
    answer({ pages: 'x' })
  ]) {
    assert.equal(readBatch(wrong), null, JSON.stringify(wrong));
  }
});

test('links lead to this server and nowhere else', () => {
  const addresses = ['/user/alice/proxy/8787/status', 'javascript:alert(1)', '//evil.example/', 'https://evil.example/', 'proxy/1'];
  const read = readBatch(answer({ pages: addresses.map(address => ({ tool: 'dask', address })) }));
  assert.deepEqual(
    read?.pages.map(page => page.address),
    ['/user/alice/proxy/8787/status']
  );
});

test('figures that are 0 are left out', () => {
  assert.equal(countsText({ idle: 3, running: 2, held: 1, leaving: 0 }, english), '1 held · 2 running · 3 waiting');
  assert.equal(countsText(counts, english), '');
});

test('a group is named by its tool and its batch', () => {
  assert.equal(groupTitle(group(), english), 'Dask: dask-worker');
  assert.equal(groupTitle(group({ tool: 'plain', name: '12' }), english), 'Jobs: 12');
  assert.equal(groupTitle(group({ tool: 'of a newer server', name: 'x' }), english), 'Jobs: x');
});

test('a job says what it does, for how long and where', () => {
  assert.equal(jobText(job(), english), 'running for 5 min on worker1');
  assert.equal(jobText(job({ state: 'held', for_s: 45 }), english), 'held for 45 s, was on worker1');
  assert.equal(jobText(job({ state: 'idle', host: null, for_s: null }), english), 'waiting');
  assert.equal(jobText(job({ state: 'toString' as never, host: null, for_s: null }), english), 'in a state that is not known here');
});

test('a held job has a reason, or the word that there is none', () => {
  assert.equal(reasonText(job({ state: 'held', reason: 'over its memory' }), english), 'over its memory');
  assert.equal(reasonText(job({ state: 'held' }), english), 'HTCondor gives no reason.');
  assert.equal(reasonText(job({ state: 'idle', reason: 'no match found' }), english), 'HTCondor says: no match found');
  assert.equal(reasonText(job(), english), null);
});

/** A refresher with a time that passes when it is told to. */
function refresher(): {
  it: Refresher;
  look: { seen: boolean; asked: number; waiting: (() => void)[] };
  answer: () => Promise<void>;
} {
  const look = { seen: true, asked: 0, waiting: [] as (() => void)[] };
  let done: () => void = () => undefined;
  const it = new Refresher(
    () => {
      look.asked += 1;
      return new Promise(resolve => {
        done = resolve;
      });
    },
    () => look.seen,
    {
      later: callback => look.waiting.push(callback),
      never: timer => {
        look.waiting[timer - 1] = () => undefined;
      },
      random: () => 0
    },
    10_000
  );
  return {
    it,
    look,
    answer: async () => {
      done();
      await new Promise(resolve => setImmediate(resolve));
    }
  };
}

test('a panel that nobody sees asks nothing', async () => {
  const { it, look, answer: answered } = refresher();
  look.seen = false;
  await it.now();
  assert.equal(look.asked, 0);
  look.seen = true;
  void it.now();
  assert.equal(look.asked, 1);
  look.seen = false;
  await answered();
  assert.equal(look.waiting.length, 0, 'it would ask again though it was hidden meanwhile');
});

test('the next question waits for the answer to the last one, and then for its time', async () => {
  const { it, look, answer: answered } = refresher();
  void it.now();
  void it.now();
  assert.equal(look.asked, 1);
  await answered();
  assert.equal(look.asked, 1);
  look.waiting.at(-1)!();
  assert.equal(look.asked, 2);
});

test('after a change it is asked anew, also where an answer was on its way', async () => {
  const { it, look, answer: answered } = refresher();
  void it.now();
  void it.afterChange();
  assert.equal(look.asked, 1);
  await answered();
  assert.equal(look.asked, 2);
});
