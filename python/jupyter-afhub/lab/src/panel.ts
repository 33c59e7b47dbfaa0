// The panel in the side bar: curves, kernels, node, limits, messages. It does nothing while it is hidden.
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { paths, roundUp } from './curve.ts';
import type { Sample } from './curve.ts';
import { bringUpToDate, draw, make } from './dom.ts';
import { sign } from './icons.ts';
import type { Job } from './job.ts';
import type { Info, Kernel } from './model.ts';
import { UNKNOWN, clock, duration, memory, memoryOf, percent, state } from './words.ts';
import type { Translations } from './words.ts';

const WIDTH = 300;
const HEIGHT = 80;
const LEAST_SPAN_S = 300;

type Row = [label: string, value: string | Node | null];

export interface Links {
  restartKernel(kernel: Kernel): void;
}

export class Panel extends Widget {
  private readonly job: Job;
  private readonly trans: Translations;
  private readonly links: Links;
  private readonly body: HTMLElement;
  private readonly opened: () => void;
  private readonly update_ = (): void => {
    if (this.isVisible) {
      this.update();
    }
  };

  constructor(job: Job, trans: Translations, links: Links, opened: () => void) {
    super();
    this.job = job;
    this.trans = trans;
    this.links = links;
    this.opened = opened;
    this.id = 'afhub-panel';
    this.addClass('afhub-panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Notebook’s job'));
    this.node.tabIndex = -1;
    this.body = make('div', { class: 'afhub-panel-body' });
    this.node.append(this.body);
    job.onChange(this.update_);
  }

  override dispose(): void {
    this.job.offChange(this.update_);
    super.dispose();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.opened();
    this.update();
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.node.focus();
  }

  protected override onUpdateRequest(message: Message): void {
    super.onUpdateRequest(message);
    const { info } = this.job;
    if (!info || this.isDisposed) {
      return;
    }
    bringUpToDate(this.node, this.body, this.sections(info));
  }

  private sections(info: Info): HTMLElement[] {
    const { trans } = this;
    const left = this.job.timeLeft();
    const { level, reasons } = state(info, left, trans);
    const notices = info.notices.map(notice =>
      make(
        'li',
        { class: 'afhub-notice', 'data-level': notice.level },
        notice.level === 'info' ? '' : sign(notice.level),
        make('span', {}, notice.text),
        make('small', {}, [notice.from, clock(new Date(notice.at), new Date())].filter(Boolean).join(', '))
      )
    );
    return [
      reasons.length || this.job.stopped || !this.job.connected
        ? make(
            'p',
            { class: 'afhub-state', 'data-level': this.job.connected ? level : 'away' },
            sign(this.job.connected ? level : 'away'),
            this.job.stopped
              ? trans.__('This notebook was stopped.')
              : this.job.connected
                ? reasons.join(', ')
                : trans.__('No connection to the notebook; these are its last figures.')
          )
        : '',
      notices.length ? this.section(trans.__('Messages'), make('ul', { class: 'afhub-notices' }, ...notices)) : '',
      this.section(trans.__('Memory'), this.memoryCurve(info), this.memoryRows(info)),
      this.section(trans.__('Processor'), this.cpuCurve(info)),
      this.section(trans.__('Kernels'), this.kernels(info)),
      this.section(trans.__('Job and limits'), this.rows(this.jobRows(info, left))),
      this.section(trans.__('Node'), this.rows(this.nodeRows(info))),
      info.problems.length
        ? this.section(trans.__('What could not be found out'), make('ul', {}, ...info.problems.map(problem => make('li', {}, problem))))
        : ''
    ].filter((part): part is HTMLElement => part !== '');
  }

  private section(title: string, ...content: Node[]): HTMLElement {
    return make('section', { class: 'afhub-section', 'aria-label': title }, make('h3', {}, title), ...content);
  }

  private rows(rows: Row[]): HTMLElement {
    const known = rows.filter(([, value]) => value !== null && value !== '' && value !== UNKNOWN);
    return make('dl', {}, ...known.flatMap(([label, value]) => [make('dt', {}, label), make('dd', {}, value!)]));
  }

  private memoryRows(info: Info): HTMLElement {
    const { trans } = this;
    const { growth_mb_per_min: growth, full_in_s: full, peak_mb: peak } = info.memory;
    return this.rows([
      [trans.__('Peak'), memory(peak, trans)],
      [trans.__('Growth'), growth !== null && growth >= 1 ? trans.__('%1 per minute', memory(growth, trans)) : null],
      [trans.__('Full in about'), full === null ? null : duration(full, trans)]
    ]);
  }

  private jobRows(info: Info, left: number | null): Row[] {
    const { trans } = this;
    const now = new Date();
    const ends = left === null ? null : new Date(now.getTime() + left * 1000);
    return [
      [trans.__('Ends'), ends && trans.__('%1 (in %2)', clock(ends, now), duration(left, trans))],
      [trans.__('Class'), info.class.title ?? info.class.name],
      [trans.__('Memory limit'), memory(info.class.memory_limit_mb ?? info.memory.limit_mb, trans)],
      [trans.__('Cores'), info.class.cores === null ? null : String(info.class.cores)],
      [trans.__('Longest run'), duration(info.class.runtime_s, trans)],
      [trans.__('Job number'), info.job.id],
      [trans.__('Slot'), info.slot],
      [trans.__('Owner'), info.job.owner]
    ];
  }

  private nodeRows(info: Info): Row[] {
    const { trans } = this;
    const { node } = info;
    return [
      [trans.__('Name'), node.name],
      [
        trans.__('Load'),
        node.load &&
          (node.cores === null
            ? node.load.map(load => load.toFixed(1)).join(', ')
            : trans._n('%2 on %1 core', '%2 on %1 cores', node.cores, node.load.map(load => load.toFixed(1)).join(', ')))
      ],
      [trans.__('Free memory'), node.memory_free_mb === null ? null : memoryOf(node.memory_free_mb, node.memory_total_mb, trans)],
      [trans.__('Free scratch disk'), node.scratch_free_mb === null ? null : memoryOf(node.scratch_free_mb, node.scratch_total_mb, trans)],
      [trans.__('Other notebooks'), node.other_notebooks === null ? null : String(node.other_notebooks)]
    ];
  }

  private kernels(info: Info): HTMLElement {
    const { trans } = this;
    if (!info.kernels.length) {
      return make('p', { class: 'afhub-none' }, trans.__('No kernel is running.'));
    }
    const heads = [trans.__('Kernel'), trans.__('Memory'), trans.__('CPU')].map(head => make('th', { scope: 'col' }, head));
    const largestFirst = [...info.kernels].sort((a, b) => (b.memory_mb ?? 0) - (a.memory_mb ?? 0));
    return make(
      'table',
      {},
      make('thead', {}, make('tr', {}, ...heads)),
      make('tbody', {}, ...largestFirst.map(kernel => this.kernel(kernel)))
    );
  }

  private kernel(kernel: Kernel): HTMLElement {
    const { trans } = this;
    const grows = kernel.growth_mb_per_min !== null && kernel.growth_mb_per_min >= 1;
    const restart = make(
      'button',
      {
        type: 'button',
        class: 'afhub-restart',
        'data-key': `restart-${kernel.id}`,
        'aria-label': trans.__('Restart the kernel of %1', kernel.path ?? kernel.name)
      },
      trans.__('Restart')
    );
    restart.addEventListener('click', () => this.links.restartKernel(kernel));
    const share = Math.min(1, Math.max(0, kernel.share ?? 0));
    return make(
      'tr',
      {},
      make(
        'th',
        { scope: 'row' },
        make('span', { class: 'afhub-kernel-name', title: kernel.path ?? kernel.name }, kernel.path?.split('/').at(-1) ?? kernel.name),
        make('small', {}, [kernel.name, kernel.state].filter(Boolean).join(', ')),
        restart
      ),
      make(
        'td',
        {},
        make('span', {}, memory(kernel.memory_mb, trans)),
        make('span', { class: 'afhub-bar', 'aria-hidden': 'true' }, make('span', { style: `width:${Math.round(share * 100)}%` })),
        make('small', {}, trans.__('%1 of all', percent(kernel.share))),
        grows ? make('small', {}, trans.__('grows by %1 per minute', memory(kernel.growth_mb_per_min, trans))) : ''
      ),
      make('td', {}, kernel.cpu_percent === null ? UNKNOWN : `${Math.round(kernel.cpu_percent)} %`)
    );
  }

  private memoryCurve(info: Info): HTMLElement {
    const { trans } = this;
    const limit = info.memory.limit_mb;
    const samples = this.job.points.map(([at, used]): Sample => [at, used]);
    const highest = Math.max(0, ...samples.map(([, value]) => value ?? 0));
    const max = limit ?? roundUp(highest);
    const words = trans.__('%1, %2', memoryOf(info.memory.used_mb, limit, trans), percent(info.memory.fraction));
    return this.figure(words, memory(max, trans), samples, max, limit === null ? [] : [0.8, 0.95]);
  }

  private cpuCurve(info: Info): HTMLElement {
    const { trans } = this;
    const { percent: used, cores } = info.cpu;
    const samples = this.job.points.map(([at, , cpu]): Sample => [at, cpu]);
    const max = Math.max((cores ?? 1) * 100, roundUp(Math.max(1, ...samples.map(([, value]) => value ?? 0))));
    const now = used === null ? UNKNOWN : `${Math.round(used)} %`;
    const words = cores === null ? now : trans._n('%2 of %1 core', '%2 of %1 cores', cores, now);
    return this.figure(words, `${Math.round(max)} %`, samples, max, []);
  }

  private figure(words: string, top: string, samples: Sample[], max: number, marks: number[]): HTMLElement {
    const { trans } = this;
    const to = samples.at(-1)?.[0] ?? 0;
    const from = Math.min(to - LEAST_SPAN_S, samples[0]?.[0] ?? to);
    const { line, area } = paths(samples, { width: WIDTH, height: HEIGHT, from, to, max }, this.job.step_s * 6);
    const minutes = Math.round((to - from) / 60);
    const picture = draw(
      'svg',
      {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        preserveAspectRatio: 'none',
        role: 'img',
        'aria-label': trans.__('%1; scale up to %2, last %3 minutes', words, top, minutes)
      },
      ...marks.map(mark => draw('line', { class: 'afhub-mark', x1: 0, x2: WIDTH, y1: HEIGHT * (1 - mark), y2: HEIGHT * (1 - mark) })),
      draw('path', { class: 'afhub-area', d: area }),
      draw('path', { class: 'afhub-line', d: line })
    );
    return make(
      'figure',
      {},
      make('figcaption', {}, make('strong', {}, words)),
      make('div', { class: 'afhub-curve' }, make('span', { class: 'afhub-scale', 'aria-hidden': 'true' }, top), picture),
      make(
        'div',
        { class: 'afhub-axis', 'aria-hidden': 'true' },
        make('span', {}, trans.__('%1 min ago', minutes)),
        make('span', {}, trans.__('now'))
      )
    );
  }
}
