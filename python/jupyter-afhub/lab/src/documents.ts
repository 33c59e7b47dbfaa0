// The documents that are open in the Lab, also those behind others.
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { DocumentRegistry } from '@jupyterlab/docregistry';

import type { DocumentToSave } from './model.ts';
import type { OpenDocument } from './save.ts';

type Context = DocumentRegistry.IContext<DocumentRegistry.IModel>;

const AREAS = ['main', 'left', 'right', 'down'];

/** Each document once, however many views it has. */
export function openContexts(app: JupyterFrontEnd): Context[] {
  const found = new Set<Context>();
  for (const area of AREAS) {
    let widgets: unknown[] = [];
    try {
      widgets = [...app.shell.widgets(area)];
    } catch {
      // Not every shell has every area.
    }
    for (const widget of widgets) {
      const { context } = widget as { context?: Context };
      if (context?.model && context.isReady && !context.isDisposed) {
        found.add(context);
      }
    }
  }
  return [...found];
}

class Open implements OpenDocument {
  private readonly app: JupyterFrontEnd;
  private readonly context: Context;
  private changed = false;
  private readonly onChange = (): void => {
    this.changed = true;
  };

  constructor(app: JupyterFrontEnd, context: Context) {
    this.app = app;
    this.context = context;
  }

  get path(): string {
    return this.app.serviceManager.contents.localPath(this.context.path);
  }

  get dirty(): boolean {
    // Where several people share a document, the server has it already.
    return this.context.model.dirty && !this.context.model.collaborative;
  }

  take(): DocumentToSave {
    const { context } = this;
    const { contents } = this.app.serviceManager;
    if (contents.driveName(context.path) !== '') {
      throw new Error(`${context.path} is not on the server`);
    }
    const { model, contentsModel } = context;
    this.changed = false;
    model.contentChanged.connect(this.onChange);
    const notebook = contentsModel?.type === 'notebook';
    return {
      path: this.path,
      doc_type: notebook ? 'notebook' : 'file',
      format: notebook ? 'json' : contentsModel?.format === 'base64' ? 'base64' : 'text',
      content: notebook ? model.toJSON() : model.toString(),
      last_modified: contentsModel?.last_modified ?? ''
    };
  }

  saved(underItsName: boolean): void {
    const { context } = this;
    context.model.contentChanged.disconnect(this.onChange);
    // What was typed meanwhile is not on disk.
    if (underItsName && !this.changed && !context.isDisposed) {
      context.model.dirty = false;
    }
  }

  saveItself(): Promise<void> {
    return this.context.save();
  }
}

export function openDocuments(app: JupyterFrontEnd): OpenDocument[] {
  return openContexts(app).map(context => new Open(app, context));
}

/** Saves what is dirty the way JupyterLab does; says what could not be saved. */
export async function saveAll(app: JupyterFrontEnd): Promise<{ documents: number; failed: string[] }> {
  const dirty = openContexts(app).filter(context => context.model.dirty && !context.model.readOnly);
  const results = await Promise.allSettled(dirty.map(context => context.save()));
  const failed = dirty.filter((context, index) => results[index]?.status === 'rejected' || context.model.dirty);
  return { documents: dirty.length - failed.length, failed: failed.map(context => context.path) };
}
