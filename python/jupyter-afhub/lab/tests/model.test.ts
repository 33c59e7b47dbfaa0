import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isInfo, parseMessage } from '../src/model.ts';
import { info } from './fakes.ts';

const read = (message: unknown): string | null => parseMessage(JSON.stringify(message))?.type ?? null;

test('messages of the contract are read', () => {
  assert.equal(read({ type: 'info', info: info() }), 'info');
  assert.equal(read({ type: 'warning', warning: { id: 'w', title: 't', text: 'x' } }), 'warning');
  assert.equal(read({ type: 'notice', notice: { id: 'n', text: 'x' } }), 'notice');
  assert.equal(read({ type: 'seen', id: 'n' }), 'seen');
  assert.equal(read({ type: 'save', id: 's', deadline_s: 10, reason: '' }), 'save');
  assert.equal(read({ type: 'stopped' }), 'stopped');
});

test('what a newer or a broken server says is left alone', () => {
  const broken = [
    null,
    [],
    'info',
    { type: 'tea' },
    { type: 'toString' },
    { type: 'info', info: { in_job: true } },
    { type: 'warning', warning: { id: 1 } },
    { type: 'notice' },
    { type: 'save', id: 's' }
  ];
  assert.deepEqual(
    broken.map(read),
    broken.map(() => null)
  );
  assert.equal(parseMessage('{"type": "in'), null);
  assert.equal(parseMessage(new ArrayBuffer(8)), null);
});

test('an answer without its parts is no info', () => {
  assert.equal(isInfo(info()), true);
  assert.equal(isInfo({ ...info(), kernels: null }), false);
  assert.equal(isInfo({ message: 'Not Found' }), false);
});
