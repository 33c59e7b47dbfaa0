// What the server extension says, in the words of docs/notebook-api.md. A value it does not know is null.

export type Level = 'ok' | 'warning' | 'error';

export interface Kernel {
  id: string;
  name: string;
  path: string | null;
  pid: number | null;
  memory_mb: number | null;
  share: number | null;
  cpu_percent: number | null;
  state: string | null;
  growth_mb_per_min: number | null;
}

export interface Warning {
  id: string;
  kind: 'memory' | 'time' | 'growth';
  level: 'warning' | 'error';
  title: string;
  text: string;
  at: string;
  kernel: { id: string; name: string; path: string | null; memory_mb: number | null } | null;
  threshold: number | null;
}

export interface Notice {
  id: string;
  level: 'info' | 'warning' | 'error';
  text: string;
  at: string;
  until: string | null;
  from: string;
}

export interface Info {
  version: number;
  in_job: boolean;
  class: {
    name: string | null;
    title: string | null;
    memory_limit_mb: number | null;
    cores: number | null;
    runtime_s: number | null;
  };
  job: {
    id: string | null;
    owner: string | null;
    started_at: string | null;
    ends_at: string | null;
    time_left_s: number | null;
    vacate_s: number | null;
  };
  slot: string | null;
  node: {
    name: string | null;
    cores: number | null;
    load: [number, number, number] | null;
    memory_total_mb: number | null;
    memory_free_mb: number | null;
    scratch_free_mb: number | null;
    scratch_total_mb: number | null;
    other_notebooks: number | null;
  };
  memory: {
    used_mb: number | null;
    limit_mb: number | null;
    fraction: number | null;
    peak_mb: number | null;
    source: string | null;
    growth_mb_per_min: number | null;
    full_in_s: number | null;
  };
  cpu: { percent: number | null; cores: number | null };
  kernels: Kernel[];
  warnings: Warning[];
  notices: Notice[];
  silenced: string[];
  hub: { home: string | null; spawn: string | null };
  problems: string[];
}

/** Seconds since 1970, megabytes, per cent of one core. */
export type Point = [number, number | null, number | null];

export interface History {
  step_s: number;
  points: Point[];
}

export type FromServer =
  | { type: 'info'; info: Info }
  | { type: 'warning'; warning: Warning }
  | { type: 'warning_over'; id: string }
  | { type: 'notice'; notice: Notice }
  | { type: 'seen'; id: string }
  | { type: 'save'; id: string; deadline_s: number; reason: string }
  | { type: 'document_saved'; path: string; saved_as: string | null; error: string | null }
  | { type: 'stopped'; reason: string };

export interface DocumentToSave {
  path: string;
  doc_type: 'notebook' | 'file';
  format: 'json' | 'text' | 'base64';
  content: unknown;
  last_modified: string;
}

export type ToServer =
  | { type: 'visible'; visible: boolean }
  | { type: 'shown'; id: string }
  | { type: 'read'; id: string }
  | { type: 'silence'; kind: 'memory' | 'time' }
  | ({ type: 'document'; save_id: string } & DocumentToSave)
  | { type: 'saved'; save_id: string; documents: number; failed: string[] };

type Fields = Record<string, unknown>;

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string';

// What each kind of message must have to be of any use; the rest is looked at where it is shown.
const NEEDED: Record<FromServer['type'], (message: Fields) => boolean> = {
  info: ({ info }) => isInfo(info),
  warning: ({ warning }) => isObject(warning) && isText(warning['id']) && isText(warning['title']) && isText(warning['text']),
  warning_over: ({ id }) => isText(id),
  notice: ({ notice }) => isObject(notice) && isText(notice['id']) && isText(notice['text']),
  seen: ({ id }) => isText(id),
  save: ({ id, deadline_s }) => isText(id) && typeof deadline_s === 'number',
  document_saved: ({ path }) => isText(path),
  stopped: () => true
};

/** Whether a value has all parts of an Info that are looked into without asking. */
export function isInfo(value: unknown): value is Info {
  return (
    isObject(value) &&
    typeof value['in_job'] === 'boolean' &&
    ['class', 'job', 'node', 'memory', 'cpu', 'hub'].every(part => isObject(value[part])) &&
    ['kernels', 'warnings', 'notices', 'silenced', 'problems'].every(part => Array.isArray(value[part]))
  );
}

/** A message of the server, or null for one that a newer or a broken server sent. */
export function parseMessage(text: unknown): FromServer | null {
  if (!isText(text)) {
    return null;
  }
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isObject(message) || !isText(message['type']) || !Object.hasOwn(NEEDED, message['type'])) {
    return null;
  }
  return NEEDED[message['type'] as FromServer['type']](message) ? (message as FromServer) : null;
}
