import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import type { Notice, ToServer, Warning } from '../src/model.ts';
import { LONGEST, Popups } from '../src/popups.ts';
import type { Action } from '../src/popups.ts';
import { english, settle } from './fakes.ts';

const memory: Warning = {
  id: 'm80',
  kind: 'memory',
  level: 'warning',
  title: 'Memory at 80 %',
  text: 'At 4 GB the notebook is stopped.',
  at: '2026-01-01T00:00:00Z',
  kernel: { id: 'k', name: 'python3', path: 'a.ipynb', memory_mb: 900 },
  threshold: 80
};
const notice: Notice = { id: 'n', level: 'info', text: 'Tea is ready.', at: '2026-01-01T00:00:00Z', until: null, from: 'Ada' };

interface Popup {
  message: string;
  kind: string;
  actions: Action[];
}

let open: Map<string, Popup>;
let sent: ToServer[];
let restarts: string[];
let unwanted: Set<string>;
let popups: Popups;
let mayRestart: boolean;

beforeEach(() => {
  open = new Map();
  sent = [];
  restarts = [];
  unwanted = new Set();
  mayRestart = true;
  let count = 0;
  const dismiss = (id: string): void => {
    // JupyterLab tells of each pop-up that goes, also of those one took back.
    open.delete(id);
    popups.removed(id);
  };
  popups = new Popups(
    {
      emit: (message, kind, { actions, autoClose }) => {
        assert.equal(autoClose, false);
        open.set(`p${++count}`, { message, kind, actions });
        return `p${count}`;
      },
      dismiss
    },
    {
      restartKernel: kernel => {
        restarts.push(kernel.id);
        return Promise.resolve(mayRestart);
      },
      saveAll: () => Promise.resolve(),
      howToGoOn: () => undefined,
      readAll: () => Promise.resolve(),
      send: message => {
        sent.push(message);
        return true;
      },
      wanted: kind => !unwanted.has(kind)
    },
    english
  );
});

const messages = (): string[] => [...open.values()].map(({ message }) => message);
const labels = (): string[] => [...open.values()].flatMap(({ actions }) => actions.map(({ label }) => label));

/** As JupyterLab does it: the pop-up goes after a press, unless the action prevents that. */
async function press(label: string): Promise<void> {
  for (const [id, { actions }] of open) {
    for (const action of actions.filter(candidate => candidate.label === label)) {
      const event = { prevented: false };
      action.callback({ preventDefault: () => (event.prevented = true) } as unknown as MouseEvent);
      if (!event.prevented) {
        open.delete(id);
        popups.removed(id);
      }
    }
  }
  await settle();
}

test('a warning is shown once, however often the server sends it', () => {
  popups.warning(memory);
  popups.warning(memory);
  assert.deepEqual(messages(), ['Memory at 80 %\nAt 4 GB the notebook is stopped.']);
  assert.deepEqual(sent, [
    { type: 'shown', id: 'm80' },
    { type: 'shown', id: 'm80' }
  ]);
});

test('what was closed with its cross was read, and goes from the notifications when it is over', () => {
  popups.warning(memory);
  popups.hidden('p1');
  popups.hidden('another');
  assert.deepEqual(sent, [
    { type: 'shown', id: 'm80' },
    { type: 'read', id: 'm80' }
  ]);
  popups.over('m80');
  assert.deepEqual(messages(), []);
  assert.equal(sent.length, 2);
});

test('the next mark takes the place of the one before, which was not read', () => {
  popups.warning(memory);
  popups.warning({ ...memory, id: 'm95', level: 'error', title: 'Memory at 95 %', threshold: 95 });
  assert.deepEqual(messages(), ['Memory at 95 %\nAt 4 GB the notebook is stopped.']);
  assert.equal(
    sent.some(({ type }) => type === 'read'),
    false
  );
});

test('what is over or was read elsewhere goes, and is not reported as read', () => {
  popups.warning(memory);
  popups.notice(notice);
  popups.over('m80');
  popups.over('n');
  popups.over('never heard of');
  assert.equal(open.size, 0);
  assert.equal(
    sent.some(({ type }) => type === 'read'),
    false
  );
});

test('a notice that was read is reported', async () => {
  popups.notice(notice);
  assert.deepEqual(messages(), ['Message from Ada\nTea is ready.']);
  await press('Got it');
  assert.deepEqual(sent.at(-1), { type: 'read', id: 'n' });
});

test('no message is longer than JupyterLab shows, and all of it can be read', () => {
  popups.notice({ ...notice, text: 'long '.repeat(400), from: 'x'.repeat(300) });
  popups.warning({ ...memory, text: 'long '.repeat(400) });
  for (const message of messages()) {
    assert.ok(message.length <= LONGEST, message);
  }
  assert.deepEqual(
    labels().filter(label => label === 'Read all'),
    ['Read all', 'Read all']
  );
});

test('a kernel is restarted after a question; without a yes the pop-up stays', async () => {
  mayRestart = false;
  popups.warning(memory);
  await press('Restart kernel');
  assert.equal(open.size, 1);
  mayRestart = true;
  await press('Restart kernel');
  assert.deepEqual(restarts, ['k', 'k']);
  assert.equal(open.size, 0);
  assert.deepEqual(sent.at(-1), { type: 'read', id: 'm80' });
});

test('growth counts as memory where it is silenced', async () => {
  popups.warning({ ...memory, id: 'g', kind: 'growth', threshold: null });
  await press('Silence');
  assert.deepEqual(sent.slice(1), [
    { type: 'silence', kind: 'memory' },
    { type: 'read', id: 'g' }
  ]);
});

test('each kind has the buttons that help', () => {
  popups.warning({ ...memory, kernel: null });
  assert.deepEqual(labels(), ['Silence']);
  popups.warning({ ...memory, id: 't', kind: 'time', kernel: null, threshold: 600 });
  assert.deepEqual(labels(), ['Silence', 'Save all', 'How to go on', 'Silence']);
});

test('who switched a kind off in the settings has no pop-up, and no other tab has it instead', () => {
  unwanted.add('memory');
  popups.warning(memory);
  assert.equal(open.size, 0);
  assert.deepEqual(sent, [
    { type: 'shown', id: 'm80' },
    { type: 'read', id: 'm80' }
  ]);
});
