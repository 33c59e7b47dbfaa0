// What an HTCondor job leaves a notebook, in JupyterLab and Notebook 7. Where the server knows no job, nothing is shown.
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, Notification, showDialog } from '@jupyterlab/apputils';
import { URLExt } from '@jupyterlab/coreutils';
import { KernelAPI, ServerConnection } from '@jupyterlab/services';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { LabIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';

import { batch } from './batch.ts';
import { openContexts, openDocuments, saveAll } from './documents.ts';
import { make } from './dom.ts';
import { examples } from './examples.ts';
import { GAUGE } from './icons.ts';
import { Job } from './job.ts';
import { isInfo } from './model.ts';
import type { FromServer, History, Info, Kernel, Warning } from './model.ts';
import { Panel } from './panel.ts';
import { Popups } from './popups.ts';
import { Saver } from './save.ts';
import type { Outcome } from './save.ts';
import { StatusItem } from './status.ts';
import { Stream } from './stream.ts';
import type { Timers } from './stream.ts';
import { clock, duration, memory, shorten } from './words.ts';
import type { Translations } from './words.ts';

const PLUGIN = 'jupyter-afhub:plugin';
const API = 'api/afhub/v1';
const TRIES = 4;

const timers: Timers = {
  later: (callback, milliseconds) => window.setTimeout(callback, milliseconds),
  never: timer => window.clearTimeout(timer),
  random: () => Math.random()
};

const pause = (milliseconds: number): Promise<void> => new Promise(resolve => window.setTimeout(resolve, milliseconds));

/** What the server says first; null where it has no such extension, or is no job. */
async function firstInfo(settings: ServerConnection.ISettings): Promise<Info | null> {
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    try {
      const answer = await ServerConnection.makeRequest(URLExt.join(settings.baseUrl, API, 'info'), {}, settings);
      if (answer.ok) {
        const info: unknown = await answer.json();
        return isInfo(info) && info.in_job ? info : null;
      }
      if (answer.status < 500) {
        return null;
      }
    } catch {
      // The network, or what answers is not JSON: it may be better in a moment.
    }
    await pause(1000 * 2 ** attempt);
  }
  return null;
}

class Notebook {
  private readonly app: JupyterFrontEnd;
  private readonly trans: Translations;
  private readonly wanted: (kind: Warning['kind']) => boolean;
  private readonly popups: Popups;
  private readonly saver: Saver;
  private readonly stream: Stream;
  private savedAs: Outcome | null = null;
  private lastWords: string | null = null;
  readonly job = new Job(() => performance.now() / 1000);
  readonly status: StatusItem;
  readonly panel: Panel;

  constructor(app: JupyterFrontEnd, trans: Translations, wanted: (kind: Warning['kind']) => boolean) {
    this.app = app;
    this.trans = trans;
    this.wanted = wanted;
    const settings = app.serviceManager.serverSettings;
    this.stream = new Stream(
      () => {
        const url = URLExt.join(settings.wsUrl, API, 'stream');
        const token = settings.appendToken && settings.token ? `?token=${encodeURIComponent(settings.token)}` : '';
        return new settings.WebSocket(url + token);
      },
      {
        received: message => this.received(message),
        connected: () => this.connected(true),
        disconnected: () => this.connected(false)
      },
      timers
    );
    this.saver = new Saver(
      () => openDocuments(app),
      message => this.stream.send(message),
      timers
    );
    this.popups = new Popups(
      { emit: (message, kind, options) => Notification.emit(message, kind, options), dismiss: id => Notification.dismiss(id) },
      {
        restartKernel: kernel => this.restartKernel(kernel),
        saveAll: () => this.saveAll(),
        howToGoOn: () => void this.howToGoOn(),
        readAll: (title, text) => this.readAll(title, text),
        send: message => this.stream.send(message),
        wanted: kind => this.wanted(kind)
      },
      trans
    );
    this.status = new StatusItem(this.job, trans, () => this.showPanel());
    this.panel = new Panel(this.job, trans, { restartKernel: kernel => void this.restartKernel(kernel) }, () => void this.readHistory());
    this.panel.title.icon = new LabIcon({ name: 'jupyter-afhub:gauge', svgstr: GAUGE });
    this.panel.title.caption = trans.__('Notebook’s job: memory, time, node');
  }

  begin(info: Info): void {
    this.job.receive(info, Date.now() / 1000);
    Notification.manager.changed.connect((_, change) => {
      if (change.type === 'removed') {
        this.popups.removed(change.notification.id);
      }
    });
    // JupyterLab tells nobody when a pop-up is closed with its cross.
    document.addEventListener(
      'click',
      event => {
        const cross = event.target instanceof Element ? event.target.closest('.jp-Notification-Toast-Close') : null;
        const popup = cross?.closest('.Toastify__toast')?.id;
        if (popup) {
          this.popups.hidden(popup);
        }
      },
      true
    );
    const tellVisible = (): void => {
      this.stream.send({ type: 'visible', visible: document.visibilityState === 'visible' });
    };
    document.addEventListener('visibilitychange', tellVisible);
    window.addEventListener('focus', tellVisible);
    // A laptop that wakes up does not wait for the end of the pause.
    window.addEventListener('online', () => this.stream.connect());
    this.stream.connect();
  }

  showPanel(): void {
    this.app.shell.activateById(this.panel.id);
  }

  send(kind: 'memory' | 'time'): void {
    this.stream.send({ type: 'silence', kind });
  }

  private connected(connected: boolean): void {
    this.job.connected = connected;
    if (connected) {
      this.job.stopped = false;
      this.stream.send({ type: 'visible', visible: document.visibilityState === 'visible' });
    }
    this.job.changed();
  }

  private received(message: FromServer): void {
    switch (message.type) {
      case 'info':
        this.receivedInfo(message.info);
        break;
      case 'warning':
        this.popups.warning(message.warning);
        break;
      case 'notice':
        this.popups.notice(message.notice);
        break;
      case 'warning_over':
      case 'seen':
        this.popups.over(message.id);
        break;
      case 'save':
        void this.lastMinute(message);
        break;
      case 'document_saved':
        this.saver.answered(message);
        break;
      case 'stopped':
        this.job.stopped = true;
        // What they warned of has come.
        this.popups.clear();
        this.sayStopped(message.reason);
        this.job.changed();
        break;
    }
  }

  private receivedInfo(info: Info): void {
    const before = this.job.info?.job.id;
    if (before && info.job.id && before !== info.job.id) {
      this.begunAnew();
    }
    this.job.receive(info, Date.now() / 1000);
  }

  /** The notebook was started again while this page stayed open. */
  private begunAnew(): void {
    this.popups.clear();
    this.job.points = [];
    this.savedAs = null;
    if (this.lastWords) {
      Notification.dismiss(this.lastWords);
      this.lastWords = null;
    }
    for (const context of openContexts(this.app)) {
      // Its file was written in the last minute; JupyterLab would ask why it changed.
      if (!context.model.dirty) {
        void context.revert().catch(() => undefined);
      }
    }
    void this.readHistory();
  }

  private async lastMinute(asked: Extract<FromServer, { type: 'save' }>): Promise<void> {
    this.savedAs = await this.saver.save(asked);
    this.sayStopped(asked.reason);
  }

  /** Says what became of the notebook and of what was typed; a second call says it better. */
  private sayStopped(cause: string | undefined): void {
    const { trans, job } = this;
    const causes: Record<string, string> = {
      memory: trans.__('it needed more memory than its class has'),
      runtime: trans.__('its time is over'),
      stopped: trans.__('it was asked to end')
    };
    const reason = cause === undefined ? undefined : (causes[cause] ?? cause);
    const outcome = this.savedAs ?? { documents: 0, beside: [], failed: [] };
    const lines = [
      reason ? trans.__('Your notebook was stopped: %1', reason) : trans.__('Your notebook was stopped.'),
      trans._n('%1 document saved', '%1 documents saved', outcome.documents) +
        (outcome.failed.length ? `, ${trans._n('%1 could not be saved', '%1 could not be saved', outcome.failed.length)}` : '')
    ];
    const more = [
      ...outcome.failed.map(path => trans.__('Not saved: %1', path)),
      ...outcome.beside.map(path => trans.__('The file had changed on disk, so yours is in %1', path))
    ];
    const [first, second] = lines as [string, string];
    const actions: Notification.IAction[] = [];
    const home = job.info?.hub.home;
    if (home) {
      actions.push({
        label: trans.__('Open the hub’s page'),
        displayType: 'accent',
        callback: event => {
          event.preventDefault();
          window.open(home, '_blank', 'noopener');
        }
      });
    }
    const cut = shorten(first, 139 - second.length);
    if (cut.cut || more.length) {
      actions.push({
        label: trans.__('Read all'),
        callback: event => {
          event.preventDefault();
          void this.readAll(trans.__('Your notebook was stopped'), [...lines, ...more].join('\n'));
        }
      });
    }
    const message = `${cut.text}\n${second}`;
    const type = outcome.failed.length ? 'error' : 'warning';
    const options = { autoClose: false as const, actions };
    // The same pop-up says it better; a second one would cover the first.
    if (!this.lastWords || !Notification.update({ id: this.lastWords, message, type, ...options })) {
      this.lastWords = Notification.emit(message, type, options);
    }
  }

  private async saveAll(): Promise<void> {
    const { trans } = this;
    const { documents, failed } = await saveAll(this.app);
    if (failed.length) {
      Notification.error(shorten(trans.__('Not saved: %1', failed.join(', ')), 140).text, { autoClose: false });
    } else {
      Notification.success(trans._n('%1 document saved', '%1 documents saved', documents), { autoClose: 5000 });
    }
  }

  private async restartKernel(kernel: NonNullable<Warning['kernel']> | Kernel): Promise<boolean> {
    const { trans, app } = this;
    const name = kernel.path ?? kernel.name;
    const used = kernel.memory_mb === null ? '' : ` ${trans.__('It uses %1.', memory(kernel.memory_mb, trans))}`;
    const asked = await showDialog({
      title: trans.__('Restart the kernel of %1?', name),
      body: trans.__('All its variables will be lost; the text of the notebook stays.') + used,
      buttons: [Dialog.cancelButton({ label: trans.__('Cancel') }), Dialog.warnButton({ label: trans.__('Restart kernel') })]
    });
    if (!asked.button.accept) {
      return false;
    }
    try {
      const session = openContexts(app)
        .map(context => context.sessionContext.session)
        .find(candidate => candidate?.kernel?.id === kernel.id);
      if (session?.kernel) {
        await session.kernel.restart();
      } else {
        await KernelAPI.restartKernel(kernel.id, app.serviceManager.serverSettings);
      }
      return true;
    } catch (error) {
      Notification.error(shorten(trans.__('The kernel of %1 could not be restarted: %2', name, String(error)), 140).text, {
        autoClose: false
      });
      return false;
    }
  }

  private async howToGoOn(): Promise<void> {
    const { trans, job } = this;
    const left = job.timeLeft();
    const at = left === null ? null : clock(new Date(Date.now() + left * 1000), new Date());
    const spawn = job.info?.hub.spawn ?? job.info?.hub.home ?? null;
    const longest = job.info?.class.runtime_s ?? null;
    const steps = [
      trans.__('Save your notebooks now. What is saved stays in your home folder.'),
      at === null
        ? trans.__('This notebook and its kernels end; unsaved text is saved for you, variables are lost.')
        : trans.__('At %1 this notebook and its kernels end; unsaved text is saved for you, variables are lost.', at),
      trans.__('Write results that took long to compute into files.'),
      longest === null
        ? trans.__('Then start a notebook anew on the hub’s page.')
        : trans.__('Then start a notebook anew on the hub’s page; it may run for %1 again.', duration(longest, trans))
    ];
    const body = new Widget();
    body.node.append(make('ol', { class: 'afhub-steps' }, ...steps.map(step => make('li', {}, step))));
    if (spawn) {
      body.node.append(make('a', { href: spawn, target: '_blank', rel: 'noopener' }, trans.__('Open the hub’s page')));
    }
    await showDialog({ title: trans.__('How to go on'), body, buttons: [Dialog.okButton({ label: trans.__('Close') })] });
  }

  private async readAll(title: string, text: string): Promise<void> {
    const body = new Widget();
    body.node.append(make('p', { class: 'afhub-long-text', tabindex: 0 }, text));
    await showDialog({ title, body, buttons: [Dialog.okButton({ label: this.trans.__('Close') })] });
  }

  private async readHistory(): Promise<void> {
    const settings = this.app.serviceManager.serverSettings;
    try {
      const answer = await ServerConnection.makeRequest(URLExt.join(settings.baseUrl, API, 'history'), {}, settings);
      if (answer.ok) {
        this.job.remember((await answer.json()) as History, Date.now() / 1000);
      }
    } catch {
      // Without it the curves begin when the page was opened.
    }
  }
}

function addCommands(app: JupyterFrontEnd, notebook: Notebook, palette: ICommandPalette | null, trans: Translations): void {
  const commands: Record<string, [label: string, execute: () => void]> = {
    'afhub:show-panel': [trans.__('Show Memory, Time and Node of the Notebook’s Job'), () => notebook.showPanel()],
    'afhub:read-out': [trans.__('Read Out Memory and Time Left'), () => notebook.status.readOut()],
    'afhub:silence-memory': [trans.__('Silence Warnings about Memory until the Next Start'), () => notebook.send('memory')],
    'afhub:silence-time': [trans.__('Silence Warnings about Time until the Next Start'), () => notebook.send('time')],
    'afhub:open-hub': [
      trans.__('Open the Hub’s Page'),
      () => {
        const home = notebook.job.info?.hub.home;
        if (home) {
          window.open(home, '_blank', 'noopener');
        }
      }
    ]
  };
  for (const [id, [label, execute]] of Object.entries(commands)) {
    app.commands.addCommand(id, { label, execute, describedBy: { args: { type: 'object', properties: {} } } });
    palette?.addItem({ command: id, category: trans.__('Notebook’s Job') });
  }
}

async function begin(
  app: JupyterFrontEnd,
  translator: ITranslator | null,
  bar: IStatusBar | null,
  palette: ICommandPalette | null,
  registry: ISettingRegistry | null
): Promise<void> {
  const info = await firstInfo(app.serviceManager.serverSettings);
  if (!info) {
    return;
  }
  const trans = (translator ?? nullTranslator).load('jupyter_afhub');
  let settings: ISettingRegistry.ISettings | null = null;
  try {
    settings = (await registry?.load(PLUGIN)) ?? null;
  } catch {
    // With the settings of the schema, then.
  }
  const notebook = new Notebook(app, trans, kind => settings?.get(`${kind}Popups`).composite !== false);
  await app.started;
  if (bar) {
    bar.registerStatusItem(PLUGIN, { item: notebook.status, align: 'left', rank: 90, priority: 1, isActive: () => true });
  } else {
    notebook.status.addClass('afhub-at-the-top');
    app.shell.add(notebook.status, 'top', { rank: 900 });
  }
  app.shell.add(notebook.panel, 'right', { rank: 900 });
  addCommands(app, notebook, palette, trans);
  notebook.begin(info);
}

const plugin: JupyterFrontEndPlugin<void> = {
  id: PLUGIN,
  description: 'Shows memory, time, node and messages of the HTCondor job that the notebook is.',
  autoStart: true,
  optional: [ITranslator, IStatusBar, ICommandPalette, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    bar: IStatusBar | null,
    palette: ICommandPalette | null,
    registry: ISettingRegistry | null
  ) => {
    // JupyterLab does not wait for us.
    void begin(app, translator, bar, palette, registry);
  }
};

export default [plugin, batch, examples];
