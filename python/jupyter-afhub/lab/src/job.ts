// What the widgets show: the last Info, the time left by this browser's own clock, and the curves.
import type { History, Info, Point } from './model.ts';

const KEPT_S = 3600;

export class Job {
  private readonly seconds: () => number;
  private readonly listeners = new Set<() => void>();
  private receivedAt = 0;
  info: Info | null = null;
  /** Until the first connection fails: one is on its way from the start. */
  connected = true;
  stopped = false;
  points: Point[] = [];
  step_s = 5;

  /** `seconds` is a clock that never jumps. */
  constructor(seconds: () => number) {
    this.seconds = seconds;
  }

  onChange(listener: () => void): void {
    this.listeners.add(listener);
  }

  offChange(listener: () => void): void {
    this.listeners.delete(listener);
  }

  changed(): void {
    for (const listener of this.listeners) {
      listener();
    }
  }

  receive(info: Info, epoch: number): void {
    this.info = info;
    this.receivedAt = this.seconds();
    this.add([epoch, info.memory.used_mb, info.cpu.percent]);
    this.changed();
  }

  /** What was measured before this page was open; the server's clock is brought to this browser's. */
  remember(history: History, epoch: number): void {
    if (!Array.isArray(history.points)) {
      return;
    }
    this.step_s = history.step_s > 0 ? history.step_s : this.step_s;
    const past = history.points.filter(point => Array.isArray(point) && Number.isFinite(point[0]));
    const shift = past.length ? epoch - Math.max(...past.map(point => point[0])) : 0;
    // A point that is a step old is nothing to correct; an hour of difference between the clocks is.
    const moved = past.map(([at, memory, cpu]): Point => [at + (Math.abs(shift) > 60 ? shift : 0), memory, cpu]);
    const first = this.points[0]?.[0] ?? Infinity;
    this.points = [...moved.filter(([at]) => at < first), ...this.points];
    this.changed();
  }

  /** Seconds until the notebook ends; null where it has no end, or nobody knows. */
  timeLeft(): number | null {
    const left = this.info?.job.time_left_s ?? null;
    return left === null ? null : Math.max(0, left - (this.seconds() - this.receivedAt));
  }

  private add(point: Point): void {
    this.points.push(point);
    const oldest = point[0] - KEPT_S;
    if (this.points[0]![0] < oldest) {
      this.points = this.points.filter(([at]) => at >= oldest);
    }
  }
}
