// What the tests put in the place of JupyterLab, the server and the time.
import type { Info } from '../src/model.ts';
import type { Socket, Timers } from '../src/stream.ts';
import type { Translations } from '../src/words.ts';

const put = (text: string, values: (string | number)[]): string => text.replace(/%(\d)/g, (_, place) => String(values[Number(place) - 1]));

/** English. */
export const english: Translations = {
  __: (text, ...values) => put(text, values),
  _n: (one, many, count, ...values) => put(count === 1 ? one : many, [count, ...values])
};

type Part<Name extends keyof Info> = Partial<Info[Name]>;

export function info(
  changes: { memory?: Part<'memory'>; job?: Part<'job'>; class?: Part<'class'>; node?: Part<'node'>; warnings?: Info['warnings'] } = {}
): Info {
  return {
    version: 1,
    in_job: true,
    class: { name: 'regular', title: 'Regular', memory_limit_mb: 4096, cores: 2, runtime_s: 28800, ...changes.class },
    job: { id: '7.0', owner: 'alice', started_at: null, ends_at: null, time_left_s: 7800, vacate_s: 30, ...changes.job },
    slot: 'slot1@worker1',
    node: {
      name: 'worker1.af.test',
      cores: 16,
      load: [1, 1, 1],
      memory_total_mb: 65536,
      memory_free_mb: 40960,
      scratch_free_mb: null,
      scratch_total_mb: null,
      other_notebooks: null,
      ...changes.node
    },
    memory: {
      used_mb: 1229,
      limit_mb: 4096,
      fraction: 0.3,
      peak_mb: 1229,
      source: 'cgroup2',
      growth_mb_per_min: null,
      full_in_s: null,
      ...changes.memory
    },
    cpu: { percent: 10, cores: 2 },
    kernels: [],
    warnings: changes.warnings ?? [],
    notices: [],
    silenced: [],
    hub: { home: '/hub/home', spawn: '/hub/spawn' },
    problems: []
  };
}

export class FakeSocket implements Socket {
  readyState = 0;
  onopen: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  readonly sent: unknown[] = [];

  accept(): void {
    this.readyState = 1;
    this.onopen?.(undefined as never);
  }

  say(data: unknown): void {
    this.onmessage?.({ data: typeof data === 'string' ? data : JSON.stringify(data) } as never);
  }

  send(data: string): void {
    this.sent.push(JSON.parse(data));
  }

  close(): void {
    this.readyState = 3;
    this.onclose?.(undefined as never);
  }
}

/** Time that passes when a test says so. */
export class FakeTimers implements Timers {
  now = 0;
  private readonly waiting = new Map<number, { at: number; callback: () => void }>();
  private count = 0;

  later(callback: () => void, milliseconds: number): number {
    this.count += 1;
    this.waiting.set(this.count, { at: this.now + milliseconds, callback });
    return this.count;
  }

  never(timer: number): void {
    this.waiting.delete(timer);
  }

  random(): number {
    return 0.5;
  }

  get pauses(): number[] {
    return [...this.waiting.values()].map(({ at }) => at - this.now);
  }

  pass(milliseconds: number): void {
    this.now += milliseconds;
    for (const [timer, { at, callback }] of [...this.waiting]) {
      if (at <= this.now) {
        this.waiting.delete(timer);
        callback();
      }
    }
  }
}

/** Lets promises that are settled go on. */
export const settle = (): Promise<void> => new Promise(resolve => setImmediate(resolve));
