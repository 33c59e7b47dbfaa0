// A WebSocket that comes back: after a second, then ever later, as long as nobody closes it.
import { parseMessage } from './model.ts';
import type { FromServer, ToServer } from './model.ts';

/** What is used of a WebSocket. */
export interface Socket {
  readonly readyState: number;
  onopen: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  send(data: string): void;
  close(): void;
}

export interface Timers {
  later(callback: () => void, milliseconds: number): number;
  never(timer: number): void;
  random(): number;
}

export interface Listener {
  received(message: FromServer): void;
  connected(): void;
  disconnected(): void;
}

const OPEN = 1;
const FIRST_MS = 1_000;
const LAST_MS = 60_000;

export class Stream {
  private readonly open: () => Socket;
  private readonly listener: Listener;
  private readonly timers: Timers;
  private socket: Socket | null = null;
  private timer: number | null = null;
  private failures = 0;
  private closed = false;

  constructor(open: () => Socket, listener: Listener, timers: Timers) {
    this.open = open;
    this.listener = listener;
    this.timers = timers;
  }

  get isOpen(): boolean {
    return this.socket?.readyState === OPEN;
  }

  /** Connects, or connects at once instead of at the end of the present pause. */
  connect(): void {
    if (this.closed || this.socket) {
      return;
    }
    this.stopWaiting();
    let socket: Socket;
    try {
      socket = this.open();
    } catch {
      this.waitAndConnect();
      return;
    }
    this.socket = socket;
    socket.onopen = () => {
      this.failures = 0;
      this.listener.connected();
    };
    socket.onmessage = (event: MessageEvent) => {
      const message = parseMessage(event.data);
      if (message) {
        this.listener.received(message);
      }
    };
    socket.onclose = () => {
      socket.onopen = socket.onmessage = socket.onclose = null;
      this.socket = null;
      this.listener.disconnected();
      this.waitAndConnect();
    };
  }

  /** Whether the message went out; without a connection it is dropped, since it would be stale later. */
  send(message: ToServer): boolean {
    if (!this.socket || this.socket.readyState !== OPEN) {
      return false;
    }
    this.socket.send(JSON.stringify(message));
    return true;
  }

  close(): void {
    this.closed = true;
    this.stopWaiting();
    const socket = this.socket;
    this.socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  private waitAndConnect(): void {
    if (this.closed) {
      return;
    }
    // Not all tabs of all users at the same moment when a hub comes back.
    const pause = Math.min(LAST_MS, FIRST_MS * 2 ** this.failures) * (0.75 + this.timers.random() / 2);
    this.failures = Math.min(this.failures + 1, 10);
    this.timer = this.timers.later(() => {
      this.timer = null;
      this.connect();
    }, pause);
  }

  private stopWaiting(): void {
    if (this.timer !== null) {
      this.timers.never(this.timer);
      this.timer = null;
    }
  }
}
