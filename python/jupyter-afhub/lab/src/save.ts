// The last minute: all that was not saved goes to the server over the stream, for the way of ordinary requests may be closed.
import type { DocumentToSave, FromServer, ToServer } from './model.ts';

export interface OpenDocument {
  path: string;
  dirty: boolean;
  /** The document as it is now. */
  take(): DocumentToSave;
  /** It is on disk as it was taken; under its own name or beside it. */
  saved(underItsName: boolean): void;
  /** JupyterLab's own way to save it. */
  saveItself(): Promise<void>;
}

export interface Outcome {
  documents: number;
  /** Names of those that went to a file of another name, since theirs had changed on disk. */
  beside: string[];
  failed: string[];
}

type Save = Extract<FromServer, { type: 'save' }>;
type Answer = Extract<FromServer, { type: 'document_saved' }>;

export interface Clock {
  later(callback: () => void, milliseconds: number): number;
  never(timer: number): void;
}

/** The server takes messages of 256 MiB: a larger document is left to JupyterLab. */
export const LARGEST = 250_000_000;

export class Saver {
  private readonly documents: () => OpenDocument[];
  private readonly send: (message: ToServer) => boolean;
  private readonly clock: Clock;
  private readonly largest: number;
  private readonly waiting = new Map<string, (answer: Answer) => void>();
  private round: { id: string; result: Promise<Outcome> } | null = null;

  constructor(documents: () => OpenDocument[], send: (message: ToServer) => boolean, clock: Clock, largest = LARGEST) {
    this.documents = documents;
    this.send = send;
    this.clock = clock;
    this.largest = largest;
  }

  /** Saves all and says so to the server. One that fails does not keep the others from being saved. */
  save(asked: Save): Promise<Outcome> {
    if (this.round?.id !== asked.id) {
      this.round = { id: asked.id, result: this.saveAll(asked) };
    }
    return this.round.result;
  }

  answered(answer: Answer): void {
    this.waiting.get(answer.path)?.(answer);
  }

  private async saveAll(asked: Save): Promise<Outcome> {
    const outcome: Outcome = { documents: 0, beside: [], failed: [] };
    const end = new Promise<null>(resolve => {
      // Half a second for the last words to arrive.
      const timer = this.clock.later(() => resolve(null), Math.max(500, asked.deadline_s * 1000 - 500));
      void Promise.all(
        this.documents()
          .filter(isDirty)
          .map(document => this.saveOne(asked.id, document, outcome))
      ).then(() => {
        this.clock.never(timer);
        resolve(null);
      });
    });
    await end;
    for (const path of [...this.waiting.keys()]) {
      this.waiting.delete(path);
      outcome.failed.push(path);
    }
    this.send({ type: 'saved', save_id: asked.id, documents: outcome.documents, failed: outcome.failed });
    return { ...outcome };
  }

  private async saveOne(id: string, document: OpenDocument, outcome: Outcome): Promise<void> {
    const { path } = document;
    try {
      const taken = document.take();
      if (!this.isSmall(taken) || !this.send({ type: 'document', save_id: id, ...taken })) {
        await document.saveItself();
        outcome.documents += 1;
        return;
      }
    } catch {
      outcome.failed.push(path);
      return;
    }
    const answer = await new Promise<Answer>(resolve => this.waiting.set(path, resolve));
    this.waiting.delete(path);
    if (answer.error) {
      outcome.failed.push(path);
      return;
    }
    outcome.documents += 1;
    const name = answer.saved_as ?? path;
    if (name !== path) {
      outcome.beside.push(name);
    }
    document.saved(name === path);
  }

  private isSmall({ content }: DocumentToSave): boolean {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    // A character takes up to three bytes; only a long text is worth counting.
    return text.length * 3 < this.largest || new TextEncoder().encode(text).length < this.largest;
  }
}

function isDirty(document: OpenDocument): boolean {
  try {
    return document.dirty;
  } catch {
    return false;
  }
}
