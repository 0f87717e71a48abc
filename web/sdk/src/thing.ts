/** One thing: through the hub, and over its links. */

import { Call, type CallOptions } from "./call.ts";
import type { ThingDescription } from "./description.ts";
import type { PlaitError } from "./errors.ts";
import type { Home } from "./home.ts";
import type { Link } from "./link/link.ts";
import type { Linked, Watcher } from "./link/linked.ts";
import type { LinkOptions } from "./link/open.ts";
import type { Message } from "./messages.ts";
import type { RequestOptions } from "./requests.ts";
import { microseconds } from "./time.ts";
import { Emitter, type Unsubscribe, Watched } from "./watched.ts";

export interface Presence {
  /** `asleep` is away by intention: it comes back by itself. */
  readonly state: "online" | "offline" | "asleep";
  /** RFC 3339. */
  readonly since: string;
  /** Of a sleeping thing, when it means to wake (RFC 3339). */
  readonly until?: string;
}

/** A property's value and when it was true (RFC 3339). */
export interface PropertyState {
  readonly value: unknown;
  readonly timestamp: string;
}

export interface ThingEvent {
  readonly name: string;
  readonly data: unknown;
  readonly timestamp: string;
}

/** Time in ms since 1970, and the value then. */
export type Reading = readonly [time: number, value: unknown];

export interface HistoryOptions {
  readonly from: Date;
  readonly to?: Date;
  /** The newest so many; the hub's default is 1000. */
  readonly limit?: number;
}

export interface StatisticsOptions {
  readonly from: Date;
  /** Absent, now. */
  readonly to?: Date;
  /** Into how many equal stretches of time it is cut; the hub's default is 300. */
  readonly buckets?: number;
}

/** A number in a stretch of time that begins at `time`, in ms since 1970. */
export interface Bucket {
  readonly time: number;
  readonly mean: number;
  readonly minimum: number;
  readonly maximum: number;
  readonly count: number;
}

export class Thing {
  readonly id: string;
  readonly description: Watched<ThingDescription>;
  readonly presence: Watched<Presence>;
  /** Last known values by property name; kept up to date while `observe()`d. */
  readonly values: Watched<Readonly<Record<string, PropertyState>>>;
  /** One property's report, as it comes. */
  readonly reports = new Emitter<{ readonly name: string } & PropertyState>();

  readonly #home: Home;
  /** Open links, over which some requests go; undefined before the first. */
  #linked: Linked | undefined;
  readonly #events = new Emitter<ThingEvent>();
  #observers = 0;
  #gone = false;

  constructor(
    home: Home,
    description: ThingDescription,
    presence: Presence,
    properties: Readonly<Record<string, PropertyState>> = {},
  ) {
    this.#home = home;
    this.id = description.id;
    this.description = new Watched(description);
    this.presence = new Watched(presence);
    this.values = new Watched(properties);
  }

  get title(): string {
    return this.description.value.title;
  }

  /** Return a property's value: from the thing where it is online, else the last known. */
  async read(name: string, options?: RequestOptions): Promise<PropertyState> {
    return this.#confirmed(name, await this.#request("readproperty", { name }, options));
  }

  /** Set a property; returns what the device then said it is, which may differ from what was asked. */
  async write(name: string, value: unknown, options?: RequestOptions): Promise<PropertyState> {
    return this.#confirmed(name, await this.#request("writeproperty", { name, value }, options));
  }

  /** Run an action; returns its output. */
  async invoke(name: string, input?: unknown, options?: RequestOptions): Promise<unknown> {
    const members = input === undefined ? { name } : { name, input };
    return (await this.#request("invokeaction", members, options)).output;
  }

  /** Keep `values` up to date until the returned function is called. */
  observe(): Unsubscribe {
    this.#observers += 1;
    if (this.#observers === 1) {
      this.#observe();
      this.#linked?.watch(true);
    }
    let ended = false;
    return () => {
      if (!ended) {
        ended = true;
        this.#observers -= 1;
        if (this.#observers === 0) {
          this.#quietly(this.#request("unobserveallproperties"));
          this.#rest();
        }
      }
    };
  }

  /** Have each event brought to `listener` until the returned function is called. */
  events(listener: (event: ThingEvent) => void): Unsubscribe {
    const off = this.#events.on(listener);
    if (this.#events.size === 1) {
      this.#quietly(this.#request("subscribeallevents"));
      this.#linked?.watch(true);
    }
    let ended = false;
    return () => {
      if (!ended) {
        ended = true;
        off();
        if (this.#events.size === 0) {
          this.#quietly(this.#request("unsubscribeallevents"));
          this.#rest();
        }
      }
    };
  }

  /** Return what a property was, oldest first. */
  async history(name: string, { from, to, limit }: HistoryOptions): Promise<Reading[]> {
    const input = {
      from: from.toISOString(),
      ...(to === undefined ? {} : { to: to.toISOString() }),
      ...(limit === undefined ? {} : { limit }),
    };
    const { value } = await this.#request("readhistory", { name, input });
    return (value as [string, unknown][]).map(([time, reading]) => [Date.parse(time), reading] as const);
  }

  /** Return a number's past, summed up in equal stretches of time, oldest first; empty ones are left out. */
  async statistics(name: string, { from, to, buckets }: StatisticsOptions): Promise<Bucket[]> {
    const input = {
      from: from.toISOString(),
      ...(to === undefined ? {} : { to: to.toISOString() }),
      ...(buckets === undefined ? {} : { buckets }),
    };
    const { value } = await this.#request("readstatistics", { name, input });
    return (value as [string, number, number, number, number][]).map(
      ([time, mean, minimum, maximum, count]) => ({ time: Date.parse(time), mean, minimum, maximum, count }),
    );
  }

  /** Open a WebRTC call as a viewer: see {@link Call}. */
  call(options: CallOptions = {}): Call {
    return new Call(this.#home, this, options);
  }

  /**
   * Open a link: named channels of your own with the thing, through the hub at once and directly when that is better.
   * Rejects with `offline` where the thing is away, `forbidden` where the user may not control it,
   * `unknown-operation` where it takes no links.
   */
  async link(options: LinkOptions = {}): Promise<Link> {
    // A page without links needs none of its code.
    const { Asking, Linked, openLink } = await import("./link/open.ts");
    const link = await openLink(this.#home, this.id, options);
    this.#linked ??= new Linked(this.#watcher());
    this.#linked.add(new Asking(link, () => this.#home.now()), link.closed);
    return link;
  }

  /** @internal The hub says what this thing is now. */
  update(
    description: ThingDescription,
    presence: Presence,
    properties: Readonly<Record<string, PropertyState>> = {},
  ): void {
    this.description.value = description;
    this.presence.value = presence;
    if (Object.keys(properties).length > 0) {
      this.#learn(properties);
    }
  }

  /** @internal The hub no longer knows this thing. */
  removed(): void {
    this.#gone = true;
    this.presence.value = { state: "offline", since: new Date(this.#home.now()).toISOString() };
  }

  /** @internal The hub tells of a value or an event. */
  told(message: Message): void {
    if (this.#linked === undefined) {
      this.#tell(message);
    } else {
      this.#linked.byHub(message);
    }
  }

  /** @internal A new session knows nothing of what the old one had subscribed to. */
  resubscribe(): void {
    if (this.#observers > 0) {
      this.#observe();
    }
    if (this.#events.size > 0) {
      this.#quietly(this.#request("subscribeallevents"));
    }
  }

  #request(operation: string, members: Partial<Message> = {}, options?: RequestOptions): Promise<Message> {
    const asked = { thingID: this.id, ...members };
    const way = this.#linked?.way(operation, this.description.value.actions?.[members.name ?? ""]);
    return way === undefined
      ? this.#home.request(operation, asked, options)
      : way.ask(operation, asked, options);
  }

  get #watched(): boolean {
    return this.#observers > 0 || this.#events.size > 0;
  }

  #rest(): void {
    if (!this.#watched) {
      this.#linked?.watch(false);
    }
  }

  #watcher(): Watcher {
    return {
      id: this.id,
      watched: () => this.#watched,
      hubIsThere: () => this.#home.online,
      tell: (message) => this.#tell(message),
      catchUp: (states) => {
        for (const [name, { value, timestamp }] of Object.entries(states)) {
          if (this.#isNewer(name, timestamp)) {
            this.#reported(name, value, timestamp);
          }
        }
      },
    };
  }

  /** A value or an event came, for the first time. */
  #tell({ operation, name = "", value, data, timestamp }: Message): void {
    const time = timestamp ?? new Date(this.#home.now()).toISOString();
    if (operation === "observeproperty") {
      this.#reported(name, value, time);
    } else {
      this.#events.emit({ name, data, timestamp: time });
    }
  }

  #reported(name: string, value: unknown, timestamp: string): void {
    this.values.value = { ...this.values.value, [name]: { value, timestamp } };
    this.reports.emit({ name, value, timestamp });
  }

  #isNewer(name: string, timestamp: string): boolean {
    const known = this.values.value[name];
    return known === undefined || microseconds(timestamp) > microseconds(known.timestamp);
  }

  /** Take last known values from the hub; what came over a link may be newer. */
  #learn(states: Readonly<Record<string, PropertyState>>): void {
    const entries = Object.entries(states);
    const news = this.#linked?.tells
      ? entries.filter(([name, { timestamp }]) => this.#isNewer(name, timestamp))
      : entries;
    this.values.value = { ...this.values.value, ...Object.fromEntries(news) };
  }

  #confirmed(name: string, message: Message): PropertyState {
    const timestamp = message.timestamp ?? new Date(this.#home.now()).toISOString();
    const state = { value: message.value, timestamp };
    const known = this.values.value[name];
    // A newer report may have overtaken the answer.
    if (known === undefined || Date.parse(known.timestamp) <= Date.parse(timestamp)) {
      this.values.value = { ...this.values.value, [name]: state };
    }
    return state;
  }

  #observe(): void {
    this.#quietly(
      this.#request("observeallproperties").then(({ value }) => {
        this.#learn((value ?? {}) as Readonly<Record<string, PropertyState>>);
      }),
    );
  }

  /** Subscriptions fail only with the connection or the thing; both tell by themselves. */
  #quietly(work: Promise<unknown>): void {
    work.catch((error: PlaitError) => {
      if (!this.#gone && error.code !== "offline") {
        this.#home.problems.emit(error);
      }
    });
  }
}
