// The item in the status bar, or at the top where there is no status bar (Notebook 7).
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { make } from './dom.ts';
import { sign } from './icons.ts';
import type { Job } from './job.ts';
import { clock, duration, percent, state, statusText } from './words.ts';
import type { Translations } from './words.ts';

const SECONDS_COUNT_BELOW = 180;

export class StatusItem extends Widget {
  private readonly job: Job;
  private readonly trans: Translations;
  private readonly button: HTMLButtonElement;
  private readonly voice: HTMLElement;
  private readonly update_ = (): void => this.update();
  private timer: number | null = null;
  private told = '';
  private look = '';

  constructor(job: Job, trans: Translations, open: () => void) {
    super();
    this.job = job;
    this.trans = trans;
    this.id = 'afhub-status';
    this.addClass('afhub-status');
    this.button = make('button', { type: 'button', class: 'afhub-status-button', 'aria-controls': 'afhub-panel' });
    this.button.addEventListener('click', open);
    this.voice = make('span', { class: 'afhub-voice', role: 'status', 'aria-live': 'polite' });
    this.node.append(this.button, this.voice);
    job.onChange(this.update_);
  }

  override dispose(): void {
    this.job.offChange(this.update_);
    this.stopCounting();
    super.dispose();
  }

  /** Says all of it to who hears the page. */
  readOut(): void {
    this.voice.textContent = '';
    this.voice.textContent = this.button.getAttribute('aria-label') ?? '';
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.update();
  }

  protected override onBeforeDetach(message: Message): void {
    this.stopCounting();
    super.onBeforeDetach(message);
  }

  protected override onUpdateRequest(message: Message): void {
    super.onUpdateRequest(message);
    const { job, trans } = this;
    const { info } = job;
    if (!info || this.isDisposed) {
      return;
    }
    const left = job.timeLeft();
    const { level, reasons } = state(info, left, trans);
    const away = job.stopped ? trans.__('Notebook stopped') : job.connected ? null : trans.__('no connection');
    const look = away === null ? level : 'away';
    if (look !== this.look) {
      this.look = look;
      this.node.dataset['level'] = look;
      this.button.replaceChildren(sign(look), make('span', { class: 'afhub-status-text' }));
    }
    const words = statusText(info, left, trans);
    const shown = away ?? [words, ...reasons].join(' · ');
    const text = this.button.lastElementChild!;
    if (text.textContent !== shown) {
      text.textContent = shown;
    }
    const ends = left === null ? null : new Date(Date.now() + left * 1000);
    const long = [
      away,
      info.class.title ?? info.class.name,
      reasons.length ? reasons.join(', ') : null,
      trans.__('Memory: %1 of the limit', percent(info.memory.fraction)),
      ends && trans.__('Ends at %1, in %2', clock(ends, new Date()), duration(left, trans)),
      info.node.name && trans.__('Node: %1', info.node.name)
    ]
      .filter(part => part !== null && part !== '')
      .join('. ');
    this.button.title = `${long}. ${trans.__('Open the panel of the notebook’s job')}`;
    this.button.setAttribute('aria-label', long);
    // A screen reader hears a change for the worse or the better, not each number.
    const toTell = away ?? reasons.join(', ');
    if (toTell !== this.told) {
      this.voice.textContent = toTell || trans.__('All is well again');
      this.told = toTell;
    }
    this.count(left !== null && left > 0 && left < SECONDS_COUNT_BELOW && away === null);
  }

  private count(wanted: boolean): void {
    if (!wanted) {
      this.stopCounting();
    } else if (this.timer === null) {
      this.timer = window.setInterval(this.update_, 1000);
    }
  }

  private stopCounting(): void {
    if (this.timer !== null) {
      window.clearInterval(this.timer);
      this.timer = null;
    }
  }
}
