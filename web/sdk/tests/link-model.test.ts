/**
 * Two ends of a link over paths that break, lose, double and reorder; the model is a list for each channel.
 *
 * What was sent reliably comes once and in order, whatever the paths do. A value that comes is never older than one of
 * its key that came before, and in the end the newest has come. A datagram comes at most once.
 */

import { expect, it } from "vitest";
import { PlaitError } from "../src/errors.ts";
import { Link } from "../src/link/core/link.ts";
import type { Lane } from "../src/link/core/schedule.ts";

const RELIABLE = ["a", "b"];
const SIZES = [0, 1, 100, 16_000, 40_000];
const PATHS = ["hub", "direct"] as const;
type PathName = (typeof PATHS)[number];
type End = 0 | 1;

interface Flying {
  readonly path: PathName;
  readonly lane: Lane;
  readonly to: End;
  readonly packet: Uint8Array;
}

/** A small generator of 32 bits (mulberry32), so that a seed says what happened. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function numbered(counter: number, size = 0): Uint8Array {
  const payload = new Uint8Array(4 + size);
  new DataView(payload.buffer).setUint32(0, counter);
  return payload;
}

function numberOf(payload: Uint8Array): number {
  return new DataView(payload.buffer, payload.byteOffset).getUint32(0);
}

class Model {
  readonly #random: () => number;
  readonly #ends = [new Link(), new Link()] as const;
  readonly #up = { hub: true, direct: false };
  #path: PathName = "hub";
  #flying: Flying[] = [];
  #now = 0;
  #counter = 0;
  readonly sent = new Map<string, [number, number][]>();
  readonly came = new Map<string, [number, number][]>();
  readonly newest = new Map<string, number>();
  readonly shown = new Map<string, number>();
  readonly thrown = new Set<string>();
  readonly caught = new Set<string>();

  constructor(seed: number) {
    this.#random = generator(seed);
    for (const end of this.#ends) {
      end.rtt = 20;
      end.open("a", "reliable", 100);
      end.open("b", "reliable", 50);
      end.open("values", "latest");
      end.open("datagrams", "datagram");
    }
  }

  #pick<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.#random() * choices.length)] as T;
  }

  step(): void {
    const end = this.#pick<End>([0, 1]);
    const path = this.#pick(PATHS);
    const steps: (() => void)[] = [
      () => this.#send(end),
      () => this.#send(end),
      () => this.#put(end),
      () => this.#throw(end),
      () => this.#talk(end),
      () => this.#talk(end),
      () => this.#arrive(),
      () => this.#arrive(),
      () => this.#shuffle(),
      () => this.#disturb(),
      () => this.#openPath(path),
      () => this.#breakPath(path),
      () => this.#move(this.#up.direct ? "direct" : this.#path),
      () => {
        this.#now += this.#pick([10, 100, 3000]);
      },
    ];
    this.#pick(steps)();
  }

  // What the programs do

  #send(end: End): void {
    this.#counter += 1;
    const name = this.#pick(RELIABLE);
    const payload = numbered(this.#counter, this.#pick(SIZES));
    try {
      this.#ends[end].send(name, payload, { now: this.#now });
    } catch (error) {
      if (error instanceof PlaitError && error.code === "busy") {
        return;
      }
      throw error;
    }
    push(this.sent, `${end} ${name}`, [this.#counter, payload.length]);
  }

  #put(end: End): void {
    this.#counter += 1;
    const key = this.#pick(["k", "l"]);
    this.#ends[end].send("values", numbered(this.#counter), { now: this.#now, key });
    this.newest.set(`${end} ${key}`, this.#counter);
  }

  #throw(end: End): void {
    this.#counter += 1;
    this.#ends[end].send("datagrams", numbered(this.#counter), { now: this.#now });
    this.thrown.add(`${end} ${this.#counter}`);
  }

  // What the paths do

  #talk(end: End): void {
    const path = this.#path;
    if (!this.#up[path]) {
      return;
    }
    const lanes: Lane[] = path === "hub" ? ["any"] : ["fast", "sure"];
    for (let count = this.#pick([1, 2, 5]); count > 0; count--) {
      for (const lane of lanes) {
        const packet = this.#ends[end].poll(this.#now, lane);
        if (packet !== undefined) {
          this.#flying.push({ path, lane, to: end === 0 ? 1 : 0, packet });
        }
      }
    }
  }

  #arrive(): void {
    for (const { to, packet } of this.#flying.splice(0, this.#pick([1, 3, 8]))) {
      this.#take(to, packet);
    }
  }

  /** Lanes overtake each other, and packets on the fast lane do, too. */
  #shuffle(): void {
    const lanes = new Map<string, Flying[]>();
    for (const each of this.#flying) {
      push(lanes, `${each.path} ${each.lane} ${each.to}`, each);
    }
    const mixed: Flying[] = [];
    while (lanes.size > 0) {
      const name = this.#pick([...lanes.keys()]);
      const packets = lanes.get(name) ?? [];
      const place = name.includes("fast") ? Math.floor(this.#random() * packets.length) : 0;
      mixed.push(...packets.splice(place, 1));
      if (packets.length === 0) {
        lanes.delete(name);
      }
    }
    this.#flying = mixed;
  }

  /** The fast lane loses; any lane may bring a packet again. */
  #disturb(): void {
    const twice = this.#random() < 0.5;
    this.#flying = this.#flying.flatMap((each) => {
      if (each.lane === "fast" && this.#random() < 0.4) {
        return [];
      }
      return twice && this.#random() < 0.3 ? [each, each] : [each];
    });
  }

  #openPath(name: PathName): void {
    if (!this.#up[name]) {
      this.#up[name] = true;
      if (!this.#up[this.#path] || name === this.#path) {
        this.#move(name);
      }
    }
  }

  /** A path ends; what was on it is lost, or still comes. */
  #breakPath(name: PathName): void {
    this.#up[name] = false;
    if (this.#random() < 0.5) {
      this.#flying = this.#flying.filter(({ path }) => path !== name);
    }
    const other = name === "hub" ? "direct" : "hub";
    if (this.#path === name && this.#up[other]) {
      this.#move(other);
    }
  }

  #move(name: PathName): void {
    this.#path = name;
    for (const end of this.#ends) {
      end.moved(this.#now);
    }
  }

  // What comes

  #take(to: End, packet: Uint8Array): void {
    const from = 1 - to;
    for (const event of this.#ends[to].receive(packet)) {
      if (event.kind !== "received") {
        throw new Error(`not expected: ${event.kind}`);
      }
      const number = numberOf(event.payload);
      if (event.channel === "values") {
        const where = `${from} ${event.key}`;
        if (number <= (this.shown.get(where) ?? 0)) {
          throw new Error("an older value after a newer one");
        }
        this.shown.set(where, number);
      } else if (event.channel === "datagrams") {
        const where = `${from} ${number}`;
        if (!this.thrown.has(where) || this.caught.has(where)) {
          throw new Error("a datagram that was never sent, or came before");
        }
        this.caught.add(where);
      } else {
        const where = `${from} ${event.channel}`;
        push(this.came, where, [number, event.payload.length]);
        const place = (this.came.get(where)?.length ?? 0) - 1;
        if (this.sent.get(where)?.[place]?.[0] !== number) {
          throw new Error(`${number} came on ${where} as number ${place}`);
        }
        this.#ends[to].took(event.channel, event.payload.length);
      }
    }
  }

  /** On a path that holds, everything comes in the end. */
  finish(): void {
    this.#up.hub = true;
    this.#flying = [];
    this.#move("hub");
    for (let round = 0; round < 5000; round++) {
      let quiet = true;
      for (const end of [0, 1] as const) {
        const link = this.#ends[end];
        for (let packet = link.poll(this.#now); packet !== undefined; packet = link.poll(this.#now)) {
          quiet = false;
          this.#take(end === 0 ? 1 : 0, packet);
        }
      }
      if (quiet && this.#ends.every((end) => end.settled)) {
        break;
      }
      this.#now += 50;
    }
    expect(this.#ends.map((end) => end.settled)).toEqual([true, true]);
    expect(this.came).toEqual(this.sent); // with their sizes
    expect(this.shown).toEqual(this.newest);
  }
}

function push<T>(lists: Map<string, T[]>, where: string, what: T): void {
  const list = lists.get(where);
  if (list === undefined) {
    lists.set(where, [what]);
  } else {
    list.push(what);
  }
}

it("nothing is lost, doubled or out of order", { timeout: 60_000 }, () => {
  for (let seed = 1; seed <= 3000; seed++) {
    const model = new Model(seed);
    try {
      for (let step = 0; step < 40; step++) {
        model.step();
      }
      model.finish();
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
});
