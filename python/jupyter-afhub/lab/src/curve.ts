// Lines of a small chart, as the path of an SVG.

export interface Frame {
  width: number;
  height: number;
  /** Time at the left and at the right edge, in seconds. */
  from: number;
  to: number;
  /** Value at the upper edge; the lower one is 0. */
  max: number;
}

export type Sample = readonly [at: number, value: number | null];

/** Stretches of samples without a hole: no value, or nothing measured for more than `gap` seconds. */
export function stretches(samples: readonly Sample[], gap: number): [number, number][][] {
  const found: [number, number][][] = [];
  let current: [number, number][] = [];
  for (const [at, value] of samples) {
    const last = current.at(-1);
    if (last && (value === null || at - last[0] > gap)) {
      found.push(current);
      current = [];
    }
    if (value !== null && Number.isFinite(value)) {
      current.push([at, value]);
    }
  }
  return current.length ? [...found, current] : found;
}

const round = (value: number): number => Math.round(value * 10) / 10;

/** The line through the samples, and the area below it. */
export function paths(samples: readonly Sample[], frame: Frame, gap: number): { line: string; area: string } {
  const span = Math.max(1, frame.to - frame.from);
  const top = frame.max > 0 ? frame.max : 1;
  const x = (at: number): number => round(((at - frame.from) / span) * frame.width);
  const y = (value: number): number => round(frame.height - (Math.min(top, Math.max(0, value)) / top) * frame.height);
  const inside = samples.filter(([at]) => at >= frame.from && at <= frame.to);
  let line = '';
  let area = '';
  for (const stretch of stretches(inside, gap)) {
    const points = stretch.map(([at, value]) => `${x(at)} ${y(value)}`);
    const first = stretch[0]!;
    const last = stretch.at(-1)!;
    // A single sample would be a line without length: a dot of one unit shows it.
    line += `M${points.join('L')}${points.length === 1 ? 'h1' : ''}`;
    area += `M${x(first[0])} ${frame.height}L${points.join('L')}L${x(last[0])} ${frame.height}Z`;
  }
  return { line, area };
}

/** A round number at or above the largest value, so that the scale does not jump with every sample. */
export function roundUp(value: number): number {
  if (value <= 0) {
    return 1;
  }
  const step = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map(factor => factor * step).find(candidate => candidate >= value)!;
}
