/**
 * One lasting connection to the hub: dials, says hello, resumes the session, redials. Everything that has to be
 * decided without I/O is in `session.ts` and `backoff.ts`; this file moves it over a WebSocket.
 */

import { Backoff } from "./backoff.ts";
import { decode, encode } from "./codec.ts";
import { fromProblem, PlaitError } from "./errors.ts";
import {
  CLOSE,
  type Message,
  newId,
  PROTOCOL,
  SESSION_OPERATIONS,
  SUBPROTOCOL_JSON,
  type Welcome,
} from "./messages.ts";
import { Pulse } from "./pulse.ts";
import { SequenceGap, Session } from "./session.ts";
import { Watched } from "./watched.ts";

/** The part of the W3C WebSocket that is used; the `ws` package's has it too. */
export interface WebSocketLike {
  send(data: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
}

/** The third argument is that of the `ws` package; browsers ignore it. */
export type WebSocketClass = new (
  url: string,
  protocols: string[],
  options?: { headers: Record<string, string> },
) => WebSocketLike;

export interface ConnectionStatus {
  /**
   * connecting: never been connected · online · reconnecting: was connected, dials again ·
   * stopped: will not dial again (see `error`), or `close()` was called.
   */
  readonly state: "connecting" | "online" | "reconnecting" | "stopped";
  /** When this state began, in ms of `Date.now()`. */
  readonly since: number;
  readonly error?: PlaitError;
}

export interface ConnectionOptions {
  /** `ws://` or `wss://` address of the hub's `/ws`. */
  readonly url: string;
  readonly token?: string;
  readonly WebSocket: WebSocketClass;
  readonly software: string;
  /** Asked when an upgrade failed, since a browser does not say why: throw `unauthorized` to stop dialling. */
  readonly probe?: () => Promise<void>;
  readonly backoff?: Backoff;
}

/** Milliseconds. */
const WELCOME_WITHIN = 10_000;
const ACK_WITHIN = 50;

/** Stands for a numbered message that could not be read; nobody handles it. */
const UNREADABLE = "unreadable";

const STOPPING: Readonly<Record<number, string>> = {
  [CLOSE.badCredential]: "The hub no longer accepts this credential",
};

type Timer = ReturnType<typeof setTimeout>;

export class Connection {
  readonly status = new Watched<ConnectionStatus>({ state: "connecting", since: Date.now() });
  /** The hub's clock minus ours, in ms. */
  clockOffset = 0;
  /** A message for the program; it counts as settled when this returns. */
  onMessage: (message: Message) => void = () => {};
  /** A session goes on, or a new one began with these (renumbered) messages carried over from the old. */
  onSession: (resumed: boolean, carried: ReadonlySet<string>) => void = () => {};

  readonly #options: ConnectionOptions;
  readonly #session = new Session();
  readonly #backoff: Backoff;
  #socket: WebSocketLike | undefined;
  #online = false;
  #wasOnline = false;
  #hello = "";
  readonly #pulse = new Pulse({
    send: (message) => this.send(message),
    gone: (reason) => this.#broken(CLOSE.goingAway, reason),
  });
  #redial: Timer | undefined;
  #deadline: Timer | undefined;
  #ackTimer: Timer | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff();
  }

  /** Round trip to the hub in ms; undefined while it is not known. */
  get rtt(): Watched<number | undefined> {
    return this.#pulse.rtt;
  }

  /** Whether messages go out at once. */
  get online(): boolean {
    return this.#online;
  }

  /** Bytes that wait for the hub's acknowledgement. */
  get buffered(): number {
    return this.#session.buffered;
  }

  /** Dial now; also cuts a wait between two attempts short. */
  dial(): void {
    if (this.#socket !== undefined || this.status.value.state === "stopped") {
      return;
    }
    clearTimeout(this.#redial);
    const { url, token, WebSocket } = this.#options;
    let socket: WebSocketLike;
    try {
      socket = token
        ? new WebSocket(url, [SUBPROTOCOL_JSON], { headers: { Authorization: `Bearer ${token}` } })
        : new WebSocket(url, [SUBPROTOCOL_JSON]);
    } catch (error) {
      this.#stop(new PlaitError("error", `cannot dial ${url}: ${(error as Error).message}`));
      return;
    }
    this.#socket = socket;
    let opened = false;
    this.#deadline = setTimeout(() => this.#broken(CLOSE.goingAway, "no welcome in time"), WELCOME_WITHIN);
    socket.onopen = () => {
      opened = true;
      this.#sayHello();
    };
    socket.onmessage = (event: { data: unknown }) => this.#receive(event.data);
    socket.onerror = () => {};
    socket.onclose = (event: { code: number; reason: string }) => {
      if (this.#socket === socket) {
        this.#socket = undefined;
        this.#closed(event.code, event.reason, opened);
      }
    };
  }

  /** Send now if connected, otherwise as soon as it is; numbered unless it runs beside the session. */
  send(message: Message): void {
    // What is too large must fail here, at its caller, and never enter the session.
    encode(message);
    if (this.#online || !SESSION_OPERATIONS.has(message.operation)) {
      const numbered = this.#session.send(message);
      if (this.#online) {
        this.#transmit(numbered);
      }
    }
  }

  /** The network may have changed: where the hub does not answer at once, the connection is given up for a new one. */
  doubt(): void {
    this.#pulse.doubt();
  }

  close(): void {
    this.#stop(undefined);
  }

  #sayHello(): void {
    this.#hello = newId();
    const { id, ack } = this.#session;
    const resume = id === "" ? {} : { session: id, ack };
    const input = { protocol: PROTOCOL, software: this.#options.software, ...resume };
    this.#transmit({ messageType: "request", operation: "hello", messageID: this.#hello, input });
  }

  #transmit(message: Message): void {
    this.#socket?.send(encode(message));
  }

  #receive(data: unknown): void {
    let message: Message;
    try {
      message = decode(String(data));
    } catch {
      this.#unreadable(String(data));
      return;
    }
    if (message.messageType === "response" && message.operation === "hello") {
      this.#welcome(message);
      return;
    }
    if (!this.#online) {
      return;
    }
    try {
      if (!this.#session.receive(message)) {
        return;
      }
    } catch (error) {
      if (error instanceof SequenceGap) {
        this.#broken(CLOSE.gap, error.message);
      }
      // Without its number it counts as not received.
      return;
    }
    if (message.operation !== "ack" && !this.#pulse.takes(message)) {
      try {
        this.onMessage(message);
      } finally {
        this.#settle(message.seq);
      }
    }
  }

  /** A frame that breaks the protocol must not break the numbering: take its `seq` where it can be read. */
  #unreadable(text: string): void {
    let seq: unknown;
    try {
      seq = (JSON.parse(text) as { seq?: unknown } | null)?.seq;
    } catch {
      return;
    }
    if (typeof seq === "number" && Number.isSafeInteger(seq)) {
      this.#receive(JSON.stringify({ messageType: "notification", operation: UNREADABLE, seq }));
    }
  }

  #settle(seq: number | undefined): void {
    if (seq === undefined) {
      return;
    }
    this.#session.settled(seq);
    this.#ackTimer ??= setTimeout(() => {
      this.#ackTimer = undefined;
      const ack = this.#session.acknowledgement();
      if (this.#online && ack !== undefined) {
        this.#transmit(ack);
      }
    }, ACK_WITHIN);
  }

  #welcome(message: Message): void {
    if (this.#online || message.correlationID !== this.#hello) {
      return;
    }
    if (message.error !== undefined) {
      const error = fromProblem(message.error);
      if (error.retry) {
        this.#broken(CLOSE.goingAway, error.message);
      } else {
        this.#stop(error);
      }
      return;
    }
    clearTimeout(this.#deadline);
    const welcome = message.output as Welcome;
    if (welcome.protocol !== PROTOCOL) {
      const detail = `The hub speaks protocol ${welcome.protocol}, this client ${PROTOCOL}`;
      this.#stop(new PlaitError("unsupported-version", detail, { field: "/output/protocol" }));
      return;
    }
    this.clockOffset = Date.parse(welcome.time) - Date.now();
    const again = this.#session.welcome(welcome);
    this.#online = this.#wasOnline = true;
    this.#backoff.reset();
    for (const waiting of again) {
      this.#transmit(waiting);
    }
    this.#pulse.start();
    const carried = new Set(again.flatMap(({ messageID }) => (messageID === undefined ? [] : [messageID])));
    this.onSession(welcome.resumed, carried);
    this.status.value = { state: "online", since: Date.now() };
  }

  /** Give this socket up without waiting for its far end, which may be gone. */
  #broken(code: number, reason: string): void {
    const socket = this.#socket;
    this.#socket = undefined;
    // A browser lets a page close with 1000 and 3000-4999 only.
    socket?.close(code >= 3000 ? code : 1000, reason);
    this.#closed(code, reason, true);
  }

  #closed(code: number, reason: string, opened: boolean): void {
    this.#down();
    if (code === CLOSE.displaced || code === CLOSE.overflow) {
      this.#session.id = "";
    }
    const final = STOPPING[code];
    if (final !== undefined) {
      this.#stop(new PlaitError("unauthorized", reason || final));
      return;
    }
    const error = new PlaitError("offline", reason || "The hub cannot be reached");
    const state = this.#wasOnline ? "reconnecting" : "connecting";
    const { status } = this;
    const since = status.value.state === state ? status.value.since : Date.now();
    status.value = { state, since, error };
    this.#redial = setTimeout(() => this.dial(), this.#backoff.next() * 1000);
    if (!opened) {
      this.#options.probe?.().catch((problem: unknown) => {
        if (problem instanceof PlaitError && problem.code === "unauthorized") {
          this.#stop(problem);
        }
      });
    }
  }

  #down(): void {
    this.#online = false;
    this.#pulse.stop();
    clearTimeout(this.#deadline);
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
  }

  #stop(error: PlaitError | undefined): void {
    clearTimeout(this.#redial);
    const socket = this.#socket;
    this.#socket = undefined;
    const ack = this.#online ? this.#session.acknowledgement() : undefined;
    if (ack !== undefined) {
      socket?.send(encode(ack));
    }
    this.#down();
    socket?.close(1000);
    this.status.value = { state: "stopped", since: Date.now(), ...(error === undefined ? {} : { error }) };
  }
}
