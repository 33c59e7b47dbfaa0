// The panel of the user's batch jobs in the side bar. It asks only while it is seen.
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { all, countsText, fileName, groupTitle, jobText, reasonText, toolName } from './batchmodel.ts';
import type { Batch, BatchGroup, BatchJob, JobFile } from './batchmodel.ts';
import { bringUpToDate, make } from './dom.ts';
import { sign } from './icons.ts';
import type { Translations } from './words.ts';
import { clock } from './words.ts';

export interface Deeds {
  removeJob(job: BatchJob, group: BatchGroup): void;
  removeGroup(group: BatchGroup): void;
  releaseJob(job: BatchJob): void;
  releaseGroup(group: BatchGroup): void;
  open(file: JobFile): void;
  refresh(): void;
}

const SIGNS: Record<string, 'ok' | 'warning' | 'away'> = { running: 'ok', output: 'ok', held: 'warning' };

export class BatchPanel extends Widget {
  private readonly trans: Translations;
  private readonly deeds: Deeds;
  private readonly body: HTMLElement;
  private readonly voice: HTMLElement;
  private batch: Batch | null = null;
  /** Where no answer came: in words; the list is then an older one. */
  private problem: string | null = null;
  /** What came of the last button. */
  private outcome: { level: 'ok' | 'error'; text: string } | null = null;

  constructor(trans: Translations, deeds: Deeds) {
    super();
    this.trans = trans;
    this.deeds = deeds;
    this.id = 'afhub-batch';
    this.addClass('afhub-panel');
    this.addClass('afhub-batch');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Batch jobs'));
    this.node.tabIndex = -1;
    this.voice = make('p', { class: 'afhub-voice', role: 'status', 'aria-live': 'polite' });
    this.body = make('div', { class: 'afhub-panel-body' });
    this.node.append(this.voice, this.body);
  }

  show_(batch: Batch): void {
    this.problem = batch.problem;
    if (batch.problem === null || this.batch === null) {
      this.batch = batch;
    }
    this.update();
  }

  fail(problem: string): void {
    this.problem = problem;
    this.update();
  }

  tell(level: 'ok' | 'error', text: string): void {
    this.outcome = { level, text };
    this.voice.textContent = text;
    this.update();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.outcome = null;
    this.deeds.refresh();
    this.update();
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.node.focus();
  }

  protected override onUpdateRequest(message: Message): void {
    super.onUpdateRequest(message);
    if (this.isDisposed) {
      return;
    }
    bringUpToDate(this.node, this.body, this.parts());
  }

  private parts(): Element[] {
    const { trans, batch, problem, outcome } = this;
    const parts: Element[] = [this.head()];
    if (outcome) {
      parts.push(
        make('p', { class: 'afhub-state afhub-outcome-of-button', 'data-level': outcome.level }, sign(outcome.level), outcome.text)
      );
    }
    if (problem !== null) {
      const said = make('span', {}, trans.__('The batch pool does not answer: %1', problem));
      parts.push(make('p', { class: 'afhub-state afhub-problem', role: 'status', 'data-level': 'away' }, sign('warning'), said));
    }
    if (!batch) {
      return problem === null ? [...parts, make('p', {}, trans.__('Asking the batch pool …'))] : parts;
    }
    if (batch.pages.length) {
      parts.push(this.pages(batch));
    }
    if (batch.problem !== null) {
      return parts;
    }
    if (problem !== null) {
      parts.push(make('p', {}, trans.__('These jobs were there at %1.', clock(new Date(batch.at), new Date()))));
    }
    if (!batch.groups.length) {
      parts.push(make('p', { class: 'afhub-none' }, trans.__('You have no jobs in the batch pool.')));
    }
    parts.push(...batch.groups.map(group => this.group(group)));
    if (batch.more) {
      parts.push(make('p', {}, trans.__('There are more jobs than are shown and counted here; condor_q in a terminal has all.')));
    }
    return parts;
  }

  private head(): HTMLElement {
    const { trans, batch } = this;
    const words = batch && batch.problem === null ? countsText(batch.counts, trans) : '';
    return make(
      'div',
      { class: 'afhub-batch-head' },
      make('h3', {}, trans.__('Your batch jobs')),
      make('span', { class: 'afhub-batch-counts' }, words),
      this.button('refresh', trans.__('Refresh'), trans.__('Ask for the batch jobs again'), () => this.deeds.refresh())
    );
  }

  private pages(batch: Batch): HTMLElement {
    const { trans } = this;
    const links = batch.pages.map(page => {
      const label = trans.__('Web page of %1', toolName(page.tool, trans));
      const link = { href: page.address, target: '_blank', rel: 'noopener', 'data-key': `page-${page.address}` };
      return make('li', {}, make('a', link, label), make('small', {}, page.address));
    });
    return make('section', { class: 'afhub-section', 'aria-label': trans.__('Web pages') }, make('ul', { class: 'afhub-pages' }, ...links));
  }

  private group(group: BatchGroup): HTMLElement {
    const { trans, deeds } = this;
    const title = groupTitle(group, trans);
    const count = all(group.counts);
    const buttons: HTMLElement[] = [];
    if (count > 1) {
      const label = trans.__('Remove all %1…', count);
      const long = trans.__('Remove all %1 jobs of %2', count, title);
      buttons.push(this.button(`remove-${group.id}`, label, long, () => deeds.removeGroup(group)));
      if (group.counts.held > 1) {
        const release = trans.__('Release all %1 held jobs of %2', group.counts.held, title);
        buttons.push(this.button(`release-${group.id}`, trans.__('Release held'), release, () => deeds.releaseGroup(group)));
      }
    }
    return make(
      'section',
      { class: 'afhub-section afhub-batch-group', 'aria-label': title, 'data-tool': group.tool },
      make('h3', {}, title),
      make('p', { class: 'afhub-batch-counts' }, countsText(group.counts, trans)),
      make('div', { class: 'afhub-buttons' }, ...buttons),
      make('ul', { class: 'afhub-batch-jobs' }, ...group.jobs.map(job => this.job(job, group))),
      group.not_listed > 0 ? make('p', {}, trans._n('and %1 more job', 'and %1 more jobs', group.not_listed)) : ''
    );
  }

  private job(job: BatchJob, group: BatchGroup): HTMLElement {
    const { trans, deeds } = this;
    const reason = reasonText(job, trans);
    const leaving = job.state === 'removed' || job.state === 'completed';
    const buttons = leaving
      ? []
      : [this.button(`remove-${job.id}`, trans.__('Remove…'), trans.__('Remove job %1', job.id), () => deeds.removeJob(job, group))];
    if (job.state === 'held') {
      buttons.push(this.button(`release-${job.id}`, trans.__('Release'), trans.__('Release job %1', job.id), () => deeds.releaseJob(job)));
    }
    const opened = job.files.filter(file => file.path !== null);
    const elsewhere = job.files.filter(file => file.path === null && file.exists);
    return make(
      'li',
      { class: 'afhub-batch-job', 'data-state': job.state, 'data-job': job.id },
      make('div', {}, sign(SIGNS[job.state] ?? 'away'), make('strong', {}, job.id), ' ', make('span', {}, jobText(job, trans))),
      reason === null ? '' : make('p', { class: 'afhub-reason' }, reason),
      job.command === null ? '' : make('code', { title: job.command }, job.command),
      make('div', { class: 'afhub-buttons' }, ...opened.map(file => this.fileButton(file, job)), ...buttons),
      ...elsewhere.map(file => make('small', {}, trans.__('%1: %2', fileName(file.kind, trans), file.where)))
    );
  }

  private fileButton(file: JobFile, job: BatchJob): HTMLElement {
    const { trans } = this;
    const name = fileName(file.kind, trans);
    const button = make(
      'button',
      {
        type: 'button',
        class: 'afhub-link',
        title: file.where,
        'data-key': `file-${file.kind}-${job.id}`,
        'aria-label': trans.__('Open %1 of job %2', name, job.id)
      },
      name
    );
    button.addEventListener('click', () => this.deeds.open(file));
    return button;
  }

  private button(key: string, label: string, long: string, pressed: () => void): HTMLElement {
    const button = make('button', { type: 'button', class: 'afhub-restart', 'data-key': key, title: long, 'aria-label': long }, label);
    button.addEventListener('click', pressed);
    return button;
  }
}
