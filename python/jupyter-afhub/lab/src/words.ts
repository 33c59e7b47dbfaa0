// Numbers as people read them. Memory counts in steps of 1024, as the classes' limits do.
import type { Info, Level } from './model.ts';

/** The part of JupyterLab's translations that is used; %1, %2 stand for the arguments. */
export interface Translations {
  __(text: string, ...values: (string | number)[]): string;
  _n(one: string, many: string, count: number, ...values: (string | number)[]): string;
}

export const UNKNOWN = '–';

const short = (value: number): string => (value < 9.95 ? value.toFixed(1).replace(/\.0$/, '') : String(Math.round(value)));

/** 850 MB, 1.2 GB, 64 GB. */
export function memory(mb: number | null | undefined, trans: Translations): string {
  if (mb === null || mb === undefined || !Number.isFinite(mb)) {
    return UNKNOWN;
  }
  // 1023.6 would otherwise be shown as 1024 MB.
  return Math.round(mb) < 1024 ? trans.__('%1 MB', Math.round(mb)) : trans.__('%1 GB', short(mb / 1024));
}

/** 1.2 of 4 GB, 850 MB of 4 GB. */
export function memoryOf(used: number | null, limit: number | null, trans: Translations): string {
  if (limit === null) {
    return memory(used, trans);
  }
  if (used !== null && Math.round(used) >= 1024 && Math.round(limit) >= 1024) {
    return trans.__('%1 of %2', short(used / 1024), memory(limit, trans));
  }
  return trans.__('%1 of %2', memory(used, trans), memory(limit, trans));
}

/** 2 d 3 h, 2 h 10 min, 9 min, 45 s: the two largest units. */
export function duration(seconds: number | null | undefined, trans: Translations): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) {
    return UNKNOWN;
  }
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) {
    return trans.__('%1 s', s);
  }
  const minutes = Math.floor(s / 60);
  if (minutes < 60) {
    return trans.__('%1 min', minutes);
  }
  const hours = Math.floor(minutes / 60);
  if (hours < 48) {
    return minutes % 60 ? trans.__('%1 h %2 min', hours, minutes % 60) : trans.__('%1 h', hours);
  }
  const days = Math.floor(hours / 24);
  return hours % 24 ? trans.__('%1 d %2 h', days, hours % 24) : trans.__('%1 d', days);
}

/** 14:35 in the browser's own zone; with the day of the week where it is not today, with the date beyond a week. */
export function clock(at: Date, now: Date, locale?: string): string {
  const time = at.toLocaleTimeString(locale, { hour: '2-digit', minute: '2-digit' });
  if (at.toDateString() === now.toDateString()) {
    return time;
  }
  const near = Math.abs(at.getTime() - now.getTime()) < 6 * 86_400_000;
  const day = at.toLocaleDateString(locale, near ? { weekday: 'short' } : { day: 'numeric', month: 'short' });
  return `${day} ${time}`;
}

export const percent = (fraction: number | null): string =>
  fraction === null || !Number.isFinite(fraction) ? UNKNOWN : `${Math.round(fraction * 100)} %`;

export interface State {
  level: Level;
  /** Why it is not ok, in words; empty where it is. */
  reasons: string[];
}

const worse = (a: Level, b: Level): Level =>
  a === 'error' || b === 'error' ? 'error' : a === 'warning' || b === 'warning' ? 'warning' : 'ok';

/** How the notebook is doing: amber from 80 % of the memory or in the last 10 minutes, red from 95 % or in the last 2. */
export function state(info: Info, timeLeft: number | null, trans: Translations): State {
  const reasons: string[] = [];
  let level: Level = 'ok';
  const fraction = info.memory.fraction;
  if (fraction !== null && fraction >= 0.8) {
    level = worse(level, fraction >= 0.95 ? 'error' : 'warning');
    reasons.push(fraction >= 0.95 ? trans.__('memory almost full') : trans.__('memory high'));
  }
  if (timeLeft !== null && timeLeft <= 600) {
    level = worse(level, timeLeft <= 120 ? 'error' : 'warning');
    reasons.push(trans.__('ends soon'));
  }
  if (level === 'ok' && info.warnings.some(warning => warning.kind === 'growth')) {
    level = 'warning';
    reasons.push(trans.__('memory grows'));
  }
  return { level, reasons };
}

/** Regular · 1.2 of 4 GB · 2 h 10 min left · worker1; what is not known is left out. */
export function statusText(info: Info, timeLeft: number | null, trans: Translations): string {
  return [
    info.class.title ?? info.class.name,
    info.memory.used_mb === null ? null : memoryOf(info.memory.used_mb, info.memory.limit_mb, trans),
    timeLeft === null ? null : trans.__('%1 left', duration(timeLeft, trans)),
    info.node.name?.split('.')[0] ?? null
  ]
    .filter(part => part !== null && part !== '')
    .join(' · ');
}

/** At most `limit` characters, cut at a space where there is one near, and whether something was cut. */
export function shorten(text: string, limit: number): { text: string; cut: boolean } {
  const flat = text.replace(/\s+/g, ' ').trim();
  if (flat.length <= limit) {
    // A text of several lines is worth a look as it was written.
    return { text: flat, cut: /\n/.test(text.trim()) };
  }
  const head = flat.slice(0, limit - 1);
  const space = head.lastIndexOf(' ');
  return { text: `${space > limit / 2 ? head.slice(0, space) : head}…`, cut: true };
}
