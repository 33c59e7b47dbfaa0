import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import type { ToServer } from '../src/model.ts';
import { Saver } from '../src/save.ts';
import type { OpenDocument } from '../src/save.ts';
import { FakeTimers, settle } from './fakes.ts';

class FakeDocument implements OpenDocument {
  path: string;
  content: string;
  dirty: boolean;
  breaks = false;
  savedItself = 0;

  constructor(path: string, content: string, dirty = true) {
    this.path = path;
    this.content = content;
    this.dirty = dirty;
  }

  take(): ReturnType<OpenDocument['take']> {
    if (this.breaks) {
      throw new Error('no such thing');
    }
    return { path: this.path, doc_type: 'file', format: 'text', content: this.content, last_modified: 'then' };
  }

  saved(underItsName: boolean): void {
    this.dirty = !underItsName;
  }

  saveItself(): Promise<void> {
    this.savedItself += 1;
    return Promise.resolve();
  }
}

const SAVE = { type: 'save', id: 's1', deadline_s: 20, reason: 'removed' } as const;

let documents: FakeDocument[];
let sent: ToServer[];
let timers: FakeTimers;
let connected: boolean;
let saver: Saver;

beforeEach(() => {
  documents = [];
  sent = [];
  connected = true;
  timers = new FakeTimers();
  saver = new Saver(
    () => documents,
    message => {
      if (connected) {
        sent.push(message);
      }
      return connected;
    },
    timers,
    1000
  );
});

const answer = (path: string, saved_as: string | null = path, error: string | null = null): void =>
  saver.answered({ type: 'document_saved', path, saved_as, error });
const paths = (): string[] => sent.flatMap(message => (message.type === 'document' ? [message.path] : []));

test('all that is dirty is sent, and then it is said that all is saved', async () => {
  documents = [new FakeDocument('a.txt', 'A'), new FakeDocument('clean.txt', 'C', false), new FakeDocument('b.txt', 'B')];
  const result = saver.save(SAVE);
  await settle();
  assert.deepEqual(paths(), ['a.txt', 'b.txt']);
  answer('b.txt');
  answer('a.txt');
  assert.deepEqual(await result, { documents: 2, beside: [], failed: [] });
  assert.deepEqual(sent.at(-1), { type: 'saved', save_id: 's1', documents: 2, failed: [] });
  assert.ok(documents.every(({ dirty }) => !dirty));
});

test('without a dirty document it is said at once', async () => {
  assert.deepEqual(await saver.save(SAVE), { documents: 0, beside: [], failed: [] });
  assert.deepEqual(sent, [{ type: 'saved', save_id: 's1', documents: 0, failed: [] }]);
});

test('one that fails does not keep the others from being saved', async () => {
  const broken = new FakeDocument('broken.txt', '');
  broken.breaks = true;
  documents = [broken, new FakeDocument('full.txt', ''), new FakeDocument('good.txt', '')];
  const result = saver.save(SAVE);
  await settle();
  answer('full.txt', null, 'No space left on device');
  answer('good.txt');
  assert.deepEqual(await result, { documents: 1, beside: [], failed: ['broken.txt', 'full.txt'] });
  assert.ok(documents[1]!.dirty, 'what is not on disk is still to be saved');
});

test('a document whose file changed on disk is saved beside it and stays dirty', async () => {
  documents = [new FakeDocument('a.txt', 'A')];
  const result = saver.save(SAVE);
  await settle();
  answer('a.txt', 'a-recovered.txt');
  assert.deepEqual(await result, { documents: 1, beside: ['a-recovered.txt'], failed: [] });
  assert.ok(documents[0]!.dirty);
});

test('at the deadline it is said what was not saved', async () => {
  documents = [new FakeDocument('a.txt', 'A'), new FakeDocument('slow.txt', 'S')];
  const result = saver.save(SAVE);
  await settle();
  answer('a.txt');
  timers.pass(19_500);
  assert.deepEqual(await result, { documents: 1, beside: [], failed: ['slow.txt'] });
});

test('the same request twice saves once', async () => {
  documents = [new FakeDocument('a.txt', 'A')];
  const results = [saver.save(SAVE), saver.save(SAVE)];
  await settle();
  answer('a.txt');
  await Promise.all(results);
  assert.deepEqual(paths(), ['a.txt']);
});

test('without a connection, or where it is too large for it, JupyterLab saves it itself', async () => {
  documents = [new FakeDocument('large.txt', 'x'.repeat(1001))];
  assert.equal((await saver.save(SAVE)).documents, 1);
  connected = false;
  documents.push(new FakeDocument('small.txt', 'x'));
  assert.equal((await saver.save({ ...SAVE, id: 's2' })).documents, 2);
  assert.deepEqual(
    documents.map(({ savedItself }) => savedItself),
    [2, 1]
  );
});
