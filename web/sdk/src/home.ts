/** A home as an app sees it: the things behind one hub. */

import type { Backoff } from "./backoff.ts";
import type { ThingDescription } from "./description.ts";
import { fromProblem, PlaitError } from "./errors.ts";
import type { Message } from "./messages.ts";
import { onNetworkChange } from "./network.ts";
import type { Path } from "./path.ts";
import { type RequestOptions, Requests } from "./requests.ts";
import { Routes } from "./routes.ts";
import { Connection, type ConnectionStatus, type WebSocketClass } from "./socket.ts";
import { type Presence, type PropertyState, Thing } from "./thing.ts";
import { Emitter, Watched } from "./watched.ts";

export interface ConnectOptions {
  /** Address of the hub: `http(s)://host:port` (or `ws(s)://`). */
  readonly url: string;
  /** Bearer token; a browser uses its session cookie instead, since it cannot send one. */
  readonly token?: string;
  /** WebSocket to use, where it is not the global one: pass `WebSocket` of the `ws` package in Node. */
  readonly WebSocket?: WebSocketClass;
  readonly software?: string;
  /** Replaces the waits between attempts; for tests. */
  readonly backoff?: Backoff;
}

interface WireState {
  readonly description: ThingDescription;
  readonly presence: Presence;
  readonly properties?: Readonly<Record<string, PropertyState>>;
}

/**
 * broken: the connection is gone, the session may go on · resumed: it goes on, nothing was lost · begun: another session
 * began in its place · closed: there will be none any more.
 */
export type SessionEvent = "broken" | "resumed" | "begun" | "closed";

/** A request that the old session had taken and not answered: a command may have run. */
export type UnknownOutcome = Pick<Message, "operation" | "thingID" | "name">;

export class Home {
  /** All things that this user may see, by title; grows and shrinks as they come and go. */
  readonly things = new Watched<readonly Thing[]>([]);
  /** True once the hub has told its things for the first time. */
  readonly ready = new Watched(false);
  /**
   * A new session began because the old one was lost: with the requests whose outcome is not known, which reject with
   * `session-lost`. Subscriptions are renewed by themselves.
   */
  readonly sessionLost = new Emitter<readonly UnknownOutcome[]>();
  /** What becomes of the session. */
  readonly session = new Emitter<SessionEvent>();
  /** Problems that belong to no request. */
  readonly problems = new Emitter<PlaitError>();

  readonly #connection: Connection;
  readonly #requests: Requests;
  readonly #byId = new Map<string, Thing>();
  /** @internal Where the messages of calls and links go. */
  readonly routes = new Routes();
  readonly #unwatch: () => void;
  #sessions = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#requests = new Requests((message) => connection.send(message));
    connection.onMessage = (message) => this.#receive(message);
    connection.onSession = (resumed, carried) => this.#session(resumed, carried);
    connection.status.subscribe(({ state }) => {
      if (state === "reconnecting" || state === "stopped") {
        this.session.emit(state === "stopped" ? "closed" : "broken");
      }
    });
    this.#unwatch = onNetworkChange(() => this.reconnect());
    connection.dial();
  }

  get status(): Watched<ConnectionStatus> {
    return this.#connection.status;
  }

  /** @internal Whether messages go out at once. */
  get online(): boolean {
    return this.#connection.online;
  }

  /** @internal Bytes that wait for the hub's acknowledgement. */
  get buffered(): number {
    return this.#connection.buffered;
  }

  /** Round trip to the hub in ms; undefined while it is not known. */
  get rtt(): Watched<number | undefined> {
    return this.#connection.rtt;
  }

  /** The path that everything but calls takes. */
  path(): Path {
    return {
      kind: "hub",
      rttMs: this.rtt.value,
      why: "Through the hub by WebSocket: no link to the device is open",
    };
  }

  /** Now, by the hub's clock, in ms since 1970. */
  now(): number {
    return Date.now() + this.#connection.clockOffset;
  }

  /** Return the thing of this id or title; throws `unknown-thing`. */
  thing(idOrTitle: string): Thing {
    const thing =
      this.#byId.get(idOrTitle) ?? this.things.value.find((one) => one.description.value.title === idOrTitle);
    if (thing === undefined) {
      throw new PlaitError("unknown-thing", `There is no thing called ${idOrTitle}`);
    }
    return thing;
  }

  /** Resolves once the things are known; rejects when the connection stops before. */
  async whenReady(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const off = [
        this.ready.subscribe((ready) => ready && finish(resolve)),
        this.status.subscribe(({ state, error }) => {
          if (state === "stopped") {
            finish(() => reject(error ?? new PlaitError("offline", "The connection was closed")));
          }
        }),
      ];
      function finish(settle: () => void): void {
        queueMicrotask(() => {
          for (const unsubscribe of off) {
            unsubscribe();
          }
        });
        settle();
      }
    });
  }

  /** Send a request and return its response; throws {@link PlaitError}. */
  async request(
    operation: string,
    members: Partial<Message> = {},
    options: RequestOptions = {},
  ): Promise<Message> {
    if (this.status.value.state === "stopped") {
      throw this.status.value.error ?? new PlaitError("offline", "The connection was closed");
    }
    return this.#requests.ask(operation, members, options, this.now());
  }

  /** Send a notification. */
  notify(operation: string, members: Partial<Message> = {}): void {
    this.#connection.send({ messageType: "notification", operation, ...members });
  }

  /** Answer a request of the hub's. */
  respond(to: Message, members: Partial<Message>): void {
    const { operation, messageID, thingID, call } = to;
    this.#connection.send({
      messageType: "response",
      operation,
      ...(messageID === undefined ? {} : { correlationID: messageID }),
      ...(thingID === undefined ? {} : { thingID }),
      ...(call === undefined ? {} : { call }),
      ...members,
    });
  }

  /** Dial at once instead of waiting, or make sure at once that the hub still answers: where the network has changed. */
  reconnect(): void {
    this.#connection.dial();
    this.#connection.doubt();
  }

  close(): void {
    this.#unwatch();
    this.#connection.close();
    this.#requests.failAll(new PlaitError("offline", "The connection was closed"));
  }

  #receive(message: Message): void {
    switch (message.messageType) {
      case "response":
        this.#requests.answer(message);
        break;
      case "notification":
        this.#notified(message);
        break;
      case "request":
        if (message.operation !== "signal") {
          const error = new PlaitError("unknown-operation", `An app does not answer ${message.operation}`);
          this.respond(message, { error: error.problem() });
        } else if (!this.routes.bring(message)) {
          this.respond(message, { error: new PlaitError("error", "This call is over").problem() });
        }
    }
  }

  #notified(message: Message): void {
    const thing = this.#byId.get(message.thingID ?? "");
    switch (message.operation) {
      case "observethings":
        if (message.thingID !== undefined) {
          this.#changed(message.thingID, message.value as WireState | null);
        }
        break;
      case "observeproperty":
      case "subscribeevent":
        thing?.told(message);
        break;
      case "signal":
      case "link":
      case "endlink":
        this.routes.bring(message);
        break;
      case "error":
        if (message.error !== undefined) {
          this.problems.emit(fromProblem(message.error));
        }
    }
  }

  #changed(id: string, state: WireState | null): void {
    const known = this.#byId.get(id);
    if (state === null) {
      this.#byId.delete(id);
      known?.removed();
      this.#publish();
    } else if (known === undefined) {
      this.#adopt(state);
      this.#publish();
    } else {
      known.update(state.description, state.presence, state.properties);
      this.#publish();
    }
  }

  #adopt(state: WireState): void {
    const { id } = state.description;
    const known = this.#byId.get(id);
    if (known === undefined) {
      this.#byId.set(id, new Thing(this, state.description, state.presence, state.properties));
    } else {
      known.update(state.description, state.presence, state.properties);
    }
  }

  #publish(): void {
    const title = (thing: Thing): string => thing.description.value.title ?? thing.id;
    this.things.value = [...this.#byId.values()].sort((a, b) => title(a).localeCompare(title(b)));
  }

  #session(resumed: boolean, carried: ReadonlySet<string>): void {
    if (resumed) {
      this.session.emit("resumed");
      return;
    }
    this.#sessions += 1;
    const unknown = this.#requests.renew(carried);
    if (this.#sessions > 1) {
      this.sessionLost.emit(unknown);
      this.session.emit("begun");
    }
    this.#observe();
  }

  #observe(): void {
    const session = this.#sessions;
    this.request("observethings").then(
      (message) => {
        if (session !== this.#sessions) {
          return;
        }
        const states = message.value as readonly WireState[];
        const present = new Set(states.map(({ description }) => description.id));
        for (const [id, thing] of [...this.#byId]) {
          if (!present.has(id)) {
            this.#byId.delete(id);
            thing.removed();
          }
        }
        for (const state of states) {
          this.#adopt(state);
        }
        this.#publish();
        for (const thing of this.#byId.values()) {
          thing.resubscribe();
        }
        this.ready.value = true;
      },
      (error: PlaitError) => {
        this.problems.emit(error);
        if (error.code === "timeout" && session === this.#sessions && this.status.value.state !== "stopped") {
          this.#observe();
        }
      },
    );
  }
}

/** Connect to a hub; the home fills as it answers, and stays connected until `close()`. */
export function connect(options: ConnectOptions): Home {
  const base = new URL(options.url);
  base.protocol = base.protocol.replace("http", "ws");
  const Class = options.WebSocket ?? (globalThis.WebSocket as unknown as WebSocketClass | undefined);
  if (Class === undefined) {
    throw new PlaitError(
      "error",
      "There is no WebSocket here: pass the one of the ws package as `WebSocket`",
    );
  }
  const { token, backoff } = options;
  return new Home(
    new Connection({
      url: new URL("/ws", base).href,
      WebSocket: Class,
      software: options.software ?? "plait-web/0.1.0",
      probe: () => probe(options),
      ...(token === undefined ? {} : { token }),
      ...(backoff === undefined ? {} : { backoff }),
    }),
  );
}

/** Ask by HTTP why an upgrade failed; throws `unauthorized` where the credential is what it lacks. */
async function probe({ url, token }: ConnectOptions): Promise<void> {
  const address = new URL("/api/me", url);
  address.protocol = address.protocol.replace("ws", "http");
  const headers: Record<string, string> = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  const answer = await fetch(address, { headers, credentials: "same-origin", cache: "no-store" });
  await answer.body?.cancel();
  if (answer.status === 401 || answer.status === 403) {
    throw new PlaitError("unauthorized", "The hub does not know this browser or token");
  }
}
