// The site's example notebooks, as cards of the launcher and entries of the command palette. A click opens the user's own copy.
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, showErrorMessage } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { notebookIcon } from '@jupyterlab/ui-components';

import { readExamples } from './examplelist.ts';
import type { Example } from './examplelist.ts';
import { ask } from './rest.ts';
import type { Translations } from './words.ts';

const PLUGIN = 'jupyter-afhub:examples';
const COMMAND = 'afhub:open-example';

async function listed(app: JupyterFrontEnd): Promise<Example[]> {
  try {
    const { status, content } = await ask(app.serviceManager.serverSettings, 'examples');
    return status === 200 ? readExamples(content) : [];
  } catch {
    return [];
  }
}

async function open(app: JupyterFrontEnd, example: Example, trans: Translations): Promise<void> {
  try {
    const { status, content } = await ask(app.serviceManager.serverSettings, 'examples', { file: example.file });
    const { path, message } = content;
    if (status >= 300 || typeof path !== 'string') {
      const said = typeof message === 'string' ? message : trans.__('the notebook’s server answered with status %1', status);
      throw new Error(said);
    }
    await app.commands.execute('docmanager:open', { path });
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    await showErrorMessage(trans.__('The example %1 could not be copied into your folder', example.title), said);
  }
}

async function begin(
  app: JupyterFrontEnd,
  translator: ITranslator | null,
  launcher: ILauncher | null,
  palette: ICommandPalette | null
): Promise<void> {
  const examples = await listed(app);
  if (!examples.length) {
    return;
  }
  const trans = (translator ?? nullTranslator).load('jupyter_afhub');
  const named = (file: unknown): Example | undefined => examples.find(example => example.file === file);
  app.commands.addCommand(COMMAND, {
    label: ({ file, isPalette }) => {
      const title = named(file)?.title ?? trans.__('Example Notebook');
      return isPalette === true ? trans.__('Open Example: %1', title) : title;
    },
    caption: ({ file }) => named(file)?.text ?? '',
    icon: ({ isPalette }) => (isPalette === true ? undefined : notebookIcon),
    isEnabled: ({ file }) => named(file) !== undefined,
    execute: ({ file }) => {
      const example = named(file);
      return example ? open(app, example, trans) : undefined;
    },
    describedBy: { args: { type: 'object', required: ['file'], properties: { file: { type: 'string' } } } }
  });
  const category = trans.__('Examples');
  examples.forEach(({ file }, rank) => {
    launcher?.add({ command: COMMAND, args: { file }, category, rank });
    palette?.addItem({ command: COMMAND, args: { file, isPalette: true }, category, rank });
  });
}

export const examples: JupyterFrontEndPlugin<void> = {
  id: PLUGIN,
  description: 'Opens copies of the site’s example notebooks from the launcher.',
  autoStart: true,
  optional: [ITranslator, ILauncher, ICommandPalette],
  activate: (app: JupyterFrontEnd, translator: ITranslator | null, launcher: ILauncher | null, palette: ICommandPalette | null) => {
    void begin(app, translator, launcher, palette);
  }
};
