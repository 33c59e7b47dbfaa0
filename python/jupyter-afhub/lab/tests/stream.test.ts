import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import type { FromServer } from '../src/model.ts';
import { Stream } from '../src/stream.ts';
import { FakeSocket, FakeTimers } from './fakes.ts';

let sockets: FakeSocket[];
let timers: FakeTimers;
let heard: (FromServer | string)[];
let stream: Stream;

beforeEach(() => {
  sockets = [];
  heard = [];
  timers = new FakeTimers();
  stream = new Stream(
    () => {
      sockets.push(new FakeSocket());
      return sockets.at(-1)!;
    },
    {
      received: message => heard.push(message),
      connected: () => heard.push('connected'),
      disconnected: () => heard.push('disconnected')
    },
    timers
  );
  stream.connect();
});

test('a connection that is lost comes back, after ever longer pauses', () => {
  const pauses = [];
  for (let attempt = 0; attempt < 9; attempt++) {
    sockets.at(-1)!.close();
    pauses.push(timers.pauses[0]);
    timers.pass(60_000);
  }
  assert.deepEqual(pauses, [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]);
  assert.equal(sockets.length, 10);
});

test('once it was open, the pauses are short again', () => {
  sockets[0]!.close();
  timers.pass(1000);
  sockets[1]!.accept();
  sockets[1]!.close();
  assert.deepEqual(timers.pauses, [1000]);
  assert.deepEqual(heard, ['disconnected', 'connected', 'disconnected']);
});

test('what is said without a connection is dropped, and one is told', () => {
  assert.equal(stream.send({ type: 'visible', visible: true }), false);
  sockets[0]!.accept();
  assert.equal(stream.send({ type: 'visible', visible: true }), true);
  assert.deepEqual(sockets[0]!.sent, [{ type: 'visible', visible: true }]);
});

test('nonsense from the server is not passed on', () => {
  sockets[0]!.accept();
  sockets[0]!.say('<html>');
  sockets[0]!.say({ type: 'seen', id: 'a' });
  assert.deepEqual(heard, ['connected', { type: 'seen', id: 'a' }]);
});

test('there is never a second connection beside one that is open or on its way', () => {
  stream.connect();
  sockets[0]!.accept();
  stream.connect();
  assert.equal(sockets.length, 1);
});

test('who closes it has no more of it', () => {
  sockets[0]!.accept();
  stream.close();
  timers.pass(600_000);
  assert.equal(sockets.length, 1);
  assert.deepEqual(heard, ['connected']);
});
