// Pop-ups for warnings and notices. The server sends each to one tab only; here each is shown once and taken back when it is
// over or was dealt with in another tab.
import type { Notice, ToServer, Warning } from './model.ts';
import { shorten } from './words.ts';
import type { Translations } from './words.ts';

export interface Action {
  label: string;
  caption?: string;
  displayType?: 'default' | 'accent' | 'warn' | 'link';
  callback: (event: MouseEvent) => void;
}

export type Kind = 'info' | 'success' | 'warning' | 'error' | 'in-progress';

/** What is used of JupyterLab's notifications. Their text is shown as text, never as HTML. */
export interface Notifications {
  emit(message: string, kind: Kind, options: { autoClose: number | false; actions: Action[] }): string;
  dismiss(id: string): void;
}

export interface Deeds {
  restartKernel(kernel: NonNullable<Warning['kernel']>): Promise<boolean>;
  saveAll(): Promise<void>;
  howToGoOn(): void;
  readAll(title: string, text: string): Promise<void>;
  send(message: ToServer): boolean;
  /** Whether the user wants pop-ups of this kind, by the settings of JupyterLab. */
  wanted(kind: Warning['kind']): boolean;
}

/** JupyterLab cuts a message after so many characters. */
export const LONGEST = 140;

interface Shown {
  popup: string;
  kind: Warning['kind'] | 'notice';
}

export class Popups {
  private readonly notifications: Notifications;
  private readonly deeds: Deeds;
  private readonly trans: Translations;
  private readonly shown = new Map<string, Shown>();

  constructor(notifications: Notifications, deeds: Deeds, trans: Translations) {
    this.notifications = notifications;
    this.deeds = deeds;
    this.trans = trans;
  }

  warning(warning: Warning): void {
    if (!this.deeds.wanted(warning.kind)) {
      this.deeds.send({ type: 'shown', id: warning.id });
      this.deeds.send({ type: 'read', id: warning.id });
      return;
    }
    if (!this.shown.has(warning.id)) {
      // 95 % takes the place of 80 %, two minutes that of ten.
      this.takeBack(id => this.shown.get(id)?.kind === warning.kind);
      const { message, cut } = this.message(warning.title, warning.text);
      const actions = this.actions(warning);
      if (cut) {
        actions.push(this.readAll(warning.title, warning.text));
      }
      this.emit(warning.id, warning.kind, message, warning.level === 'error' ? 'error' : 'warning', actions);
    }
    this.deeds.send({ type: 'shown', id: warning.id });
  }

  notice(notice: Notice): void {
    const { trans } = this;
    if (!this.shown.has(notice.id)) {
      const title = notice.from ? trans.__('Message from %1', notice.from) : trans.__('Message from the administrators');
      const { message, cut } = this.message(title, notice.text);
      const actions: Action[] = [{ label: trans.__('Got it'), displayType: 'accent', callback: () => undefined }];
      if (cut) {
        actions.unshift(this.readAll(title, notice.text));
      }
      const kind = notice.level === 'warning' || notice.level === 'error' ? notice.level : 'info';
      this.emit(notice.id, 'notice', message, kind, actions);
    }
    this.deeds.send({ type: 'shown', id: notice.id });
  }

  /** The warning is over, or somebody dealt with it in another tab. */
  over(id: string): void {
    this.takeBack(shown => shown === id);
  }

  /** The user closed a pop-up: JupyterLab keeps it among its notifications. */
  hidden(popup: string): void {
    for (const [id, shown] of this.shown) {
      if (shown.popup === popup) {
        this.deeds.send({ type: 'read', id });
      }
    }
  }

  /** The user pressed a button of a pop-up that ends it, or threw it away among JupyterLab's notifications. */
  removed(popup: string): void {
    for (const [id, shown] of this.shown) {
      if (shown.popup === popup) {
        this.shown.delete(id);
        this.deeds.send({ type: 'read', id });
      }
    }
  }

  /** The job these were about is gone. */
  clear(): void {
    this.takeBack(() => true);
  }

  private message(title: string, text: string): { message: string; cut: boolean } {
    const head = shorten(title, LONGEST / 2);
    const rest = shorten(text, LONGEST - head.text.length - 1);
    return { message: `${head.text}\n${rest.text}`, cut: head.cut || rest.cut };
  }

  private emit(id: string, kind: Shown['kind'], message: string, type: Kind, actions: Action[]): void {
    this.shown.set(id, { kind, popup: this.notifications.emit(message, type, { autoClose: false, actions }) });
  }

  private takeBack(which: (id: string) => boolean): void {
    for (const [id, { popup }] of [...this.shown]) {
      if (which(id)) {
        // Forgotten first, so that its removal does not count as read.
        this.shown.delete(id);
        this.notifications.dismiss(popup);
      }
    }
  }

  private readAll(title: string, text: string): Action {
    return {
      label: this.trans.__('Read all'),
      callback: event => {
        event.preventDefault();
        void this.deeds.readAll(title, text);
      }
    };
  }

  private actions(warning: Warning): Action[] {
    const { trans, deeds } = this;
    const actions: Action[] = [];
    const { kernel } = warning;
    if (warning.kind === 'time') {
      actions.push(
        { label: trans.__('Save all'), displayType: 'accent', callback: () => void deeds.saveAll() },
        {
          label: trans.__('How to go on'),
          callback: event => {
            event.preventDefault();
            deeds.howToGoOn();
          }
        }
      );
    } else if (kernel) {
      actions.push({
        label: trans.__('Restart kernel'),
        caption: trans.__('Restart the kernel of %1, after a question', kernel.path ?? kernel.name),
        displayType: 'warn',
        callback: event => {
          event.preventDefault();
          void deeds.restartKernel(kernel).then(restarted => {
            const shown = this.shown.get(warning.id);
            if (restarted && shown) {
              this.notifications.dismiss(shown.popup);
            }
          });
        }
      });
    }
    actions.push({
      label: trans.__('Silence'),
      caption:
        warning.kind === 'time'
          ? trans.__('No more warnings about time until the next start')
          : trans.__('No more warnings about memory until the next start'),
      callback: () => void deeds.send({ type: 'silence', kind: warning.kind === 'time' ? 'time' : 'memory' })
    });
    return actions;
  }
}
