// The user's batch jobs as the server tells of them (docs/notebook-extension.md), and how they are put into words. Needs no page.
import type { Timers } from './stream.ts';
import { duration } from './words.ts';
import type { Translations } from './words.ts';

export type JobState = 'idle' | 'running' | 'held' | 'output' | 'suspended' | 'removed' | 'completed' | 'unknown';

export interface JobFile {
  kind: string;
  where: string;
  /** As the contents manager names it; null where the Lab can't open it. */
  path: string | null;
  exists: boolean;
}

export interface BatchJob {
  id: string;
  state: JobState;
  for_s: number | null;
  reason: string | null;
  host: string | null;
  command: string | null;
  files: JobFile[];
}

export interface Counts {
  idle: number;
  running: number;
  held: number;
  leaving: number;
}

export interface BatchGroup {
  id: string;
  tool: string;
  name: string;
  server: string;
  counts: Counts;
  jobs: BatchJob[];
  not_listed: number;
}

export interface Page {
  tool: string;
  address: string;
}

export interface Batch {
  problem: string | null;
  at: string;
  counts: Counts;
  more: boolean;
  groups: BatchGroup[];
  pages: Page[];
}

type Fields = Record<string, unknown>;

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
const isCounts = (value: unknown): boolean =>
  isObject(value) && ['idle', 'running', 'held', 'leaving'].every(name => typeof value[name] === 'number');
const isFile = (value: unknown): boolean => isObject(value) && typeof value['where'] === 'string';
const isJob = (value: unknown): boolean =>
  isObject(value) && typeof value['id'] === 'string' && Array.isArray(value['files']) && value['files'].every(isFile);
const isGroup = (value: unknown): boolean =>
  isObject(value) &&
  typeof value['id'] === 'string' &&
  typeof value['name'] === 'string' &&
  isCounts(value['counts']) &&
  Array.isArray(value['jobs']) &&
  value['jobs'].every(isJob);

/** The server's answer where the notebook has a batch pool; null for any other. */
export function readBatch(value: unknown): Batch | null {
  if (!isObject(value) || value['configured'] !== true || !isCounts(value['counts'])) {
    return null;
  }
  const { groups, pages } = value;
  if (!Array.isArray(groups) || !groups.every(isGroup) || !Array.isArray(pages)) {
    return null;
  }
  // An address of this server, whatever else a link could be.
  const own = pages.filter(page => isObject(page) && typeof page['address'] === 'string' && /^\/(?!\/)/.test(page['address']));
  return { ...value, pages: own } as unknown as Batch;
}

export function toolName(tool: string, trans: Translations): string {
  const names: Record<string, string> = { dask: 'Dask', htmap: 'htmap', spark: 'Spark' };
  return names[tool] ?? trans.__('Jobs');
}

/** Dask: dask-worker; Jobs: 12. */
export const groupTitle = (group: BatchGroup, trans: Translations): string => trans.__('%1: %2', toolName(group.tool, trans), group.name);

/** 1 held · 2 running · 3 waiting; what is 0 is left out. */
export function countsText(counts: Counts, trans: Translations): string {
  return [
    counts.held && trans.__('%1 held', counts.held),
    counts.running && trans.__('%1 running', counts.running),
    counts.idle && trans.__('%1 waiting', counts.idle),
    counts.leaving && trans.__('%1 ending', counts.leaving)
  ]
    .filter(part => part !== 0)
    .join(' · ');
}

export const all = (counts: Counts): number => counts.idle + counts.running + counts.held + counts.leaving;

/** What a job does and for how long: running for 5 min on worker1. */
export function jobText(job: BatchJob, trans: Translations): string {
  const words: Record<JobState, string> = {
    idle: trans.__('waiting'),
    running: trans.__('running'),
    held: trans.__('held'),
    output: trans.__('sending its output'),
    suspended: trans.__('suspended'),
    removed: trans.__('being removed'),
    completed: trans.__('done'),
    unknown: trans.__('in a state that is not known here')
  };
  const state = Object.hasOwn(words, job.state) ? words[job.state] : words.unknown;
  const host = job.host?.split('.')[0] ?? null;
  const since = job.for_s === null ? state : trans.__('%1 for %2', state, duration(job.for_s, trans));
  if (host === null || host === '') {
    return since;
  }
  return job.state === 'held' || job.state === 'completed' ? trans.__('%1, was on %2', since, host) : trans.__('%1 on %2', since, host);
}

/** Why it waits or is held, in HTCondor's words. */
export function reasonText(job: BatchJob, trans: Translations): string | null {
  if (!job.reason) {
    return job.state === 'held' ? trans.__('HTCondor gives no reason.') : null;
  }
  return job.state === 'idle' ? trans.__('HTCondor says: %1', job.reason) : job.reason;
}

export function fileName(kind: string, trans: Translations): string {
  const names: Record<string, string> = { output: trans.__('Output'), errors: trans.__('Errors'), log: trans.__('Log') };
  return names[kind] ?? trans.__('File');
}

/** Asks again and again, each time some seconds after the last answer, and only while somebody looks. */
export class Refresher {
  private readonly ask: () => Promise<void>;
  private readonly wanted: () => boolean;
  private readonly timers: Timers;
  private readonly pause_ms: number;
  private timer: number | null = null;
  private asking: Promise<void> | null = null;

  constructor(ask: () => Promise<void>, wanted: () => boolean, timers: Timers, pause_ms: number) {
    this.ask = ask;
    this.wanted = wanted;
    this.timers = timers;
    this.pause_ms = pause_ms;
  }

  /** Asks now, where somebody looks; one question at a time. */
  now(): Promise<void> {
    if (this.asking) {
      return this.asking;
    }
    this.stop();
    if (!this.wanted()) {
      return Promise.resolve();
    }
    this.asking = this.ask().finally(() => {
      this.asking = null;
      this.stop();
      if (this.wanted()) {
        this.timer = this.timers.later(() => void this.now(), this.pause_ms);
      }
    });
    return this.asking;
  }

  /** Asks anew after something was changed: an answer that is on its way may be from before. */
  async afterChange(): Promise<void> {
    await this.asking;
    await this.now();
  }

  stop(): void {
    if (this.timer !== null) {
      this.timers.never(this.timer);
      this.timer = null;
    }
  }
}
