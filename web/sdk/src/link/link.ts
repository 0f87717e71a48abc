/**
 * One end of a link between an app and a thing: named channels over the hub and directly, whichever is better. The core
 * says what goes and what came; this file has the clock, probes the paths, and moves between them.
 */

import { PlaitError } from "../errors.ts";
import { Emitter, Watched } from "../watched.ts";
import { better, type Choice, type PathName, type PathState } from "./better.ts";
import { Channel, type Payload, type Sender, Values } from "./channel.ts";
import type { LinkEvent } from "./core/events.ts";
import * as frames from "./core/frames.ts";
import { Link as Core } from "./core/link.ts";
import type { Lane } from "./core/schedule.ts";
import { type Carrier, Strand } from "./strand.ts";
import { Unclaimed } from "./unclaimed.ts";

/** Milliseconds between the probes of a path while the link is in use, and while it is not. */
const PROBE_EVERY = 500;
const PROBE_IDLE_EVERY = 5_000;
/** Milliseconds after the last message for which it counts as in use. */
const USED_FOR = 3_000;
const LOOK_EVERY = 250;
/** Milliseconds after which a path that had no room is tried again, if it has not said so before. */
const FULL_AGAIN = 10;
/** Milliseconds that what was sent has to arrive when the link is closed. */
const FLUSH = 2_000;

export interface ChannelOptions {
  /** reliable: each message comes once and in order. datagram: at most once. */
  readonly delivery?: "reliable" | "datagram";
  /** 0 to 255; higher goes first. */
  readonly priority?: number;
}

export interface Move {
  readonly from: PathName | undefined;
  readonly to: PathName | undefined;
  /** Why, when it happened; `path` says how it is now. */
  readonly reason: string;
}

type Timer = ReturnType<typeof setTimeout>;

export class Link {
  /** The hub's name for it. */
  readonly id: string;
  /** What carries it now, and why. */
  readonly path = new Watched<Choice>({ name: undefined, reason: "no path is open" });
  /** The last time that it went from one path to another. */
  readonly moved = new Watched<Move | undefined>(undefined);
  /** A channel that the far end has opened and nobody here has asked for. */
  readonly opened = new Emitter<Channel | Values>();
  /** @internal A path is there, or gone. */
  readonly pathsChanged = new Emitter<void>();
  /** Resolves once it is over: with why, where that was not by wish. */
  readonly closed: Promise<PlaitError | undefined>;

  readonly #core = new Core();
  readonly #strands: Readonly<Record<PathName, Strand>> = {
    hub: new Strand("hub"),
    direct: new Strand("direct"),
  };
  readonly #channels = new Map<string, Channel | Values>();
  readonly #unclaimed = new Unclaimed();
  #token = 0n;
  #used = performance.now();
  #looking: Timer | undefined;
  #pumping: Timer | undefined;
  #soon = false;
  #over = false;
  #error: PlaitError | undefined;
  #tellClosed: (error: PlaitError | undefined) => void = () => {};
  readonly #sender: Sender;

  constructor(id: string) {
    this.id = id;
    this.closed = new Promise((resolve) => {
      this.#tellClosed = resolve;
    });
    this.#sender = {
      send: (name, payload, key) => this.#send(name, payload, key),
      finish: (name) => {
        this.#core.finish(name);
        this.#use();
      },
      took: (name, size) => {
        this.#core.took(name, size);
        this.#pumpSoon();
      },
      buffered: (name) => this.#core.buffered(name),
      check: () => this.check(),
    };
  }

  // Channels

  /**
   * Return the channel of this name (1 to 128 bytes of UTF-8, the same at both ends), for messages. Throws
   * `invalid-value` where these do not fit or the name stands for a channel of another class, `busy` where there are
   * too many, `link-lost` where the link is over.
   */
  channel(name: string, { delivery = "reliable", priority = 100 }: ChannelOptions = {}): Channel {
    this.check();
    this.#core.open(name, delivery, priority);
    return this.#channel(name, delivery) as Channel;
  }

  /** Return the channel of this name, for values of which the newest of each key counts; throws as `channel`. */
  values(name: string, { priority = 100 }: { readonly priority?: number } = {}): Values {
    this.check();
    this.#core.open(name, "latest", priority);
    return this.#channel(name, "latest") as Values;
  }

  #channel(name: string, delivery: frames.Delivery): Channel | Values {
    const known = this.#channels.get(name);
    if (known !== undefined) {
      return known;
    }
    const made =
      delivery === "latest" ? new Values(name, this.#sender) : new Channel(name, delivery, this.#sender);
    this.#channels.set(name, made);
    return made;
  }

  /** Wait for a reliable channel that the far end opens under a name that begins so; rejects when the link is over. */
  accept(prefix = ""): Promise<Channel> {
    return this.#unclaimed.take(prefix, () => this.check());
  }

  /** Throw what has ended the link, if it is over. */
  check(): void {
    if (this.#over) {
      throw this.#error ?? new PlaitError("link-lost", "the link is closed");
    }
  }

  /** Whether the far end has everything that was sent reliably or as a value. */
  get settled(): boolean {
    return this.#core.settled;
  }

  /** Wait until it has, for at most `within` ms; return whether it has. */
  async settle(within: number): Promise<boolean> {
    const until = performance.now() + within;
    while (!this.settled && !this.#over && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, FULL_AGAIN));
    }
    return this.settled;
  }

  /** End it, on every path, once what was sent has arrived, or after 2 s. */
  async close(): Promise<void> {
    await this.settle(FLUSH);
    this.end();
  }

  /** What is known of each path. */
  get paths(): readonly PathState[] {
    const now = performance.now();
    return Object.values(this.#strands).map((strand) => strand.judge(now));
  }

  #send(name: string, payload: Payload, key = ""): void {
    this.check();
    this.#core.send(name, payload, { now: performance.now(), key });
    this.#use();
  }

  #use(): void {
    const idle = performance.now() - this.#used >= USED_FOR;
    this.#used = performance.now();
    this.#pumpSoon();
    if (idle) {
      this.#look();
    }
  }

  // Paths: for those who have them

  /** @internal A path is there. */
  pathOpened(name: PathName, carrier: Carrier): void {
    if (!this.#over) {
      this.#strands[name].open(carrier, performance.now());
      this.#look();
      this.pathsChanged.emit();
    }
  }

  /** @internal A path is gone. */
  pathLost(name: PathName): void {
    const strand = this.#strands[name];
    if (strand.carrier !== undefined) {
      strand.carrier = undefined;
      strand.failures += this.path.value.name === name ? 1 : 0;
      this.#choose();
      // Whether the other one answers matters now.
      this.#use();
      this.pathsChanged.emit();
    }
  }

  /** @internal Whether a path is there. */
  isOpen(name: PathName): boolean {
    return this.#strands[name].carrier !== undefined;
  }

  /** Probe what is due, and choose; again after a while. */
  #look(): void {
    clearTimeout(this.#looking);
    if (this.#over) {
      return;
    }
    const now = performance.now();
    const inUse = now - this.#used < USED_FOR || !this.settled;
    const open = Object.values(this.#strands).filter(({ carrier }) => carrier !== undefined);
    for (const strand of open) {
      if (now - strand.probed >= (inUse ? PROBE_EVERY : PROBE_IDLE_EVERY)) {
        this.#token += 1n;
        strand.probe(this.#token, now);
        this.#give(strand, "sure", packed({ kind: "ping", token: this.#token }));
      }
    }
    this.#choose();
    const wait = inUse || open.some(({ waits }) => waits) ? LOOK_EVERY : PROBE_IDLE_EVERY;
    this.#looking = setTimeout(() => this.#look(), wait);
  }

  #choose(): void {
    if (this.#over) {
      return;
    }
    const known = this.paths;
    const before = this.path.value;
    const choice = better(known, before.name);
    if (choice.name === before.name) {
      if (choice.reason !== before.reason) {
        this.path.value = choice;
      }
      return;
    }
    if (before.name !== undefined && this.isOpen(before.name)) {
      const silent = known.find(({ name }) => name === before.name)?.silent ?? 0;
      this.#strands[before.name].failures += silent > 0 ? 1 : 0;
    }
    if (choice.name !== undefined) {
      this.#core.moved(performance.now());
    }
    this.moved.value = { from: before.name, to: choice.name, reason: choice.reason };
    this.path.value = choice;
    this.#pumpSoon();
  }

  #give(strand: Strand, lane: Lane, packet: Uint8Array): boolean {
    const { carrier } = strand;
    if (carrier === undefined) {
      return false;
    }
    try {
      carrier.send(carrier.lanes.includes(lane) ? lane : (carrier.lanes[0] ?? "any"), packet);
      return true;
    } catch {
      // It was closed, or is full; another path carries the link from the next turn on.
      this.pathLost(strand.name);
      return false;
    }
  }

  // Packets

  #pumpSoon(): void {
    if (!this.#soon && !this.#over) {
      this.#soon = true;
      queueMicrotask(() => this.pump());
    }
  }

  /** @internal Give the path what it takes: something is to go, or there is room again. */
  pump(): void {
    this.#soon = false;
    clearTimeout(this.#pumping);
    const { name } = this.path.value;
    const strand = name === undefined ? undefined : this.#strands[name];
    if (strand?.carrier === undefined || this.#over) {
      return;
    }
    this.#core.rtt = strand.rtt ?? this.#core.rtt;
    let full = false;
    for (const [way, lane] of this.#ways(strand)) {
      const filled = this.#fill(way, lane);
      if (filled === "lost") {
        return;
      }
      full ||= filled === "full";
    }
    const due = this.#core.deadline();
    if (full || due !== undefined) {
      const wait = full ? FULL_AGAIN : Math.max(1, (due ?? 0) - performance.now());
      this.#pumping = setTimeout(() => this.pump(), wait);
    }
  }

  /**
   * Return which path takes which lane. What may be lost goes directly whenever that answers, even while the other path
   * carries the rest: on a way that loses, what is new there is sooner than what TCP repairs in order.
   */
  #ways(strand: Strand): readonly (readonly [Strand, Lane])[] {
    const { direct } = this.#strands;
    if (strand !== direct && direct.answersNow(performance.now())) {
      return [
        [direct, "fast"],
        [strand, "sure"],
      ];
    }
    return (strand.carrier?.lanes ?? []).map((lane) => [strand, lane] as const);
  }

  #fill(strand: Strand, lane: Lane): "full" | "empty" | "lost" {
    while (strand.carrier?.room(lane)) {
      const packet = this.#core.poll(performance.now(), lane);
      if (packet === undefined) {
        return "empty";
      }
      if (!this.#give(strand, lane, packet)) {
        return "lost";
      }
    }
    return "full";
  }

  /** @internal A packet came on a path. */
  receive(name: PathName, packet: Uint8Array): void {
    if (this.#over) {
      return;
    }
    this.#strands[name].heard = performance.now();
    for (const event of this.#core.receive(packet)) {
      this.#take(name, event);
    }
    for (const channel of this.#channels.values()) {
      channel.tell();
    }
    this.#pumpSoon();
  }

  #take(name: PathName, event: LinkEvent): void {
    switch (event.kind) {
      case "ping":
        this.#give(this.#strands[name], "sure", packed({ kind: "pong", token: event.token }));
        break;
      case "pong":
        this.#strands[name].answered(event.token, performance.now());
        this.#choose();
        break;
      case "opened": {
        const made = this.#channel(event.channel, event.delivery);
        if (made instanceof Channel && made.delivery === "reliable") {
          this.#unclaimed.add(made);
        }
        this.opened.emit(made);
        break;
      }
      case "received":
        this.#used = performance.now();
        this.#channels.get(event.channel)?.take(event.payload, event.text, event.key);
        break;
      case "ended": {
        const ended = this.#channels.get(event.channel);
        this.#channels.delete(event.channel);
        ended?.end(event.error);
      }
    }
  }

  // The end

  /** @internal End it, here; whoever owns it tells the far end. */
  end(error?: PlaitError): void {
    if (this.#over) {
      return;
    }
    this.#over = true;
    this.#error = error;
    clearTimeout(this.#looking);
    clearTimeout(this.#pumping);
    const ending = [...this.#channels.values()];
    this.#channels.clear();
    for (const channel of ending) {
      channel.end(error);
    }
    this.#unclaimed.wake();
    this.path.value = { name: undefined, reason: error?.message ?? "the link is closed" };
    this.#tellClosed(error);
  }
}

function packed(frame: frames.Frame): Uint8Array {
  return frames.pack([frames.encode(frame)]);
}
