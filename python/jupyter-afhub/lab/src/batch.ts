// The user's jobs in the site's batch pool, in a panel of their own. Where the notebook has no batch pool, nothing is shown.
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, showDialog } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { LabIcon } from '@jupyterlab/ui-components';

import { Refresher, all, groupTitle, readBatch } from './batchmodel.ts';
import type { JobFile } from './batchmodel.ts';
import { BatchPanel } from './batchpanel.ts';
import { ask } from './rest.ts';
import type { Timers } from './stream.ts';
import type { Translations } from './words.ts';

const PLUGIN = 'jupyter-afhub:batch';
const PAUSE_MS = 10_000;

/** A stack of sheets. */
const STACK =
  '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">' +
  '<path class="jp-icon3 jp-icon-selectable" fill="#616161" fill-rule="evenodd" d="M8 1 15 4.5 8 8 1 4.5Zm0 1.8L4.6 4.5 8 6.2l3.4-1.7Z' +
  'M2.6 7.2 8 9.9l5.4-2.7L15 8l-7 3.5L1 8Zm0 3.5L8 13.4l5.4-2.7 1.6.8L8 15l-7-3.5Z"/></svg>';

const timers: Timers = {
  later: (callback, milliseconds) => window.setTimeout(callback, milliseconds),
  never: timer => window.clearTimeout(timer),
  random: () => Math.random()
};

class BatchJobs {
  private readonly app: JupyterFrontEnd;
  private readonly trans: Translations;
  private readonly refresher: Refresher;
  readonly panel: BatchPanel;

  constructor(app: JupyterFrontEnd, trans: Translations) {
    this.app = app;
    this.trans = trans;
    const seen = (): boolean => this.panel.isVisible && document.visibilityState === 'visible';
    this.refresher = new Refresher(() => this.look(), seen, timers, PAUSE_MS);
    this.panel = new BatchPanel(trans, {
      removeJob: (job, group) => {
        const body = trans.__(
          'It is part of %1. What it has done so far is lost, unless it has written it into files.',
          groupTitle(group, trans)
        );
        void this.remove(trans.__('Remove job %1?', job.id), body, { job: job.id });
      },
      removeGroup: group => {
        const body = trans.__('What they have done so far is lost, unless they have written it into files.');
        void this.remove(trans.__('Remove all %1 jobs of %2?', all(group.counts), groupTitle(group, trans)), body, { group: group.id });
      },
      releaseJob: job => void this.act('release', { job: job.id }),
      releaseGroup: group => void this.act('release', { group: group.id }),
      open: file => void this.open(file),
      refresh: () => void this.refresher.now()
    });
    this.panel.title.icon = new LabIcon({ name: 'jupyter-afhub:batch', svgstr: STACK });
    this.panel.title.caption = trans.__('Batch jobs');
    document.addEventListener('visibilitychange', () => void this.refresher.now());
  }

  private async look(): Promise<void> {
    const { trans, app } = this;
    try {
      const { status, content } = await ask(app.serviceManager.serverSettings, 'batch');
      const batch = readBatch(content);
      if (status === 200 && batch) {
        this.panel.show_(batch);
      } else {
        this.panel.fail(trans.__('the notebook’s server answered with status %1', status));
      }
    } catch {
      this.panel.fail(trans.__('there is no connection to the notebook'));
    }
  }

  private async remove(title: string, body: string, chosen: Record<string, string>): Promise<void> {
    const { trans } = this;
    const buttons = [Dialog.cancelButton({ label: trans.__('Cancel') }), Dialog.warnButton({ label: trans.__('Remove') })];
    const asked = await showDialog({ title, body, buttons });
    if (asked.button.accept) {
      await this.act('remove', chosen);
    }
  }

  private async act(action: 'remove' | 'release', chosen: Record<string, string>): Promise<void> {
    const { trans, app } = this;
    try {
      const { status, content } = await ask(app.serviceManager.serverSettings, `batch/${action}`, chosen);
      const { jobs, message } = content;
      const count = typeof jobs === 'number' ? jobs : 0;
      if (status !== 200) {
        const other = trans.__('the notebook’s server answered with status %1', status);
        this.panel.tell('error', typeof message === 'string' ? message : other);
      } else if (action === 'remove') {
        this.panel.tell('ok', trans._n('%1 job is being removed', '%1 jobs are being removed', count));
      } else {
        this.panel.tell('ok', trans._n('%1 job was released', '%1 jobs were released', count));
      }
    } catch {
      this.panel.tell('error', trans.__('There is no connection to the notebook. Look at the list before you try again.'));
    }
    await this.refresher.afterChange();
  }

  private async open(file: JobFile): Promise<void> {
    try {
      // As text: a page or a notebook that a job has written is not run.
      await this.app.commands.execute('docmanager:open', { path: file.path, factory: 'Editor' });
    } catch (error) {
      this.panel.tell('error', this.trans.__('%1 can’t be opened: %2', file.where, error instanceof Error ? error.message : String(error)));
    }
  }
}

async function begin(app: JupyterFrontEnd, translator: ITranslator | null, palette: ICommandPalette | null): Promise<void> {
  try {
    const { status, content } = await ask(app.serviceManager.serverSettings, 'batch/configured');
    if (status !== 200 || content['configured'] !== true) {
      return;
    }
  } catch {
    // No answer: the next load of the page asks again.
    return;
  }
  const trans = (translator ?? nullTranslator).load('jupyter_afhub');
  const jobs = new BatchJobs(app, trans);
  await app.started;
  app.shell.add(jobs.panel, 'right', { rank: 910 });
  const id = 'afhub:show-batch-jobs';
  app.commands.addCommand(id, {
    label: trans.__('Show Batch Jobs'),
    execute: () => {
      app.shell.activateById(jobs.panel.id);
    },
    describedBy: { args: { type: 'object', properties: {} } }
  });
  palette?.addItem({ command: id, category: trans.__('Batch Jobs') });
}

export const batch: JupyterFrontEndPlugin<void> = {
  id: PLUGIN,
  description: 'Shows the user’s jobs in the site’s batch pool.',
  autoStart: true,
  optional: [ITranslator, ICommandPalette],
  activate: (app: JupyterFrontEnd, translator: ITranslator | null, palette: ICommandPalette | null) => {
    // JupyterLab does not wait for us.
    void begin(app, translator, palette);
  }
};
