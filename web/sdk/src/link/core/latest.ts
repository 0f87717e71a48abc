/** The other two classes: the newest value of each key, and messages that come at most once. */

import { PlaitError } from "../../errors.ts";
import type { Datagram, Declaration, Value } from "./frames.ts";
import { violation } from "./reliable.ts";

/** Bytes of a value or a datagram: one frame. */
export const LARGEST = 15 << 10;
/** Keys of one channel, in each direction. */
export const KEYS = 4096;
/** Datagrams that wait for a path; the oldest go first. */
export const WAITING = 64;

const SHORTEST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 2000;
const REMEMBERED = 1024;

interface Kept {
  readonly value: Value;
  /** When it goes (again). */
  due: number;
  wait: number;
}

/** Values out: the newest of each key, sent until the far end has seen it or it is replaced. */
export class Newest {
  readonly #channel: number;
  /** Told until the far end has answered. */
  #declaration: Declaration | undefined;
  readonly #values = new Map<string, Kept>();
  readonly #keys = new Set<string>();
  readonly #unseen = new Map<number, string>();
  #seq = 0;

  constructor(channel: number, declaration: Declaration) {
    this.#channel = channel;
    this.#declaration = declaration;
  }

  /**
   * Take a value; an older one of its key that is not seen yet is forgotten. Throws `invalid-value` where there are
   * too many keys.
   */
  put(key: string, payload: Uint8Array, text: boolean, now: number): void {
    if (!this.#keys.has(key) && this.#keys.size >= KEYS) {
      throw new PlaitError("invalid-value", `a channel has at most ${KEYS} keys`);
    }
    this.#keys.add(key);
    this.#seq += 1;
    const seq = this.#seq;
    const before = this.#values.get(key);
    if (before !== undefined) {
      this.#unseen.delete(before.value.seq);
      this.#values.delete(key); // so that the new one takes its turn behind the others
    }
    const value: Value = { kind: "value", channel: this.#channel, seq, key, payload: payload.slice(), text };
    this.#unseen.set(seq, key);
    this.#values.set(key, { value, due: now, wait: 0 });
  }

  /** Whether the far end has seen everything. */
  get empty(): boolean {
    return this.#values.size === 0;
  }

  /** Return a value that is to go now. */
  take(now: number, rtt: number): Value | undefined {
    for (const kept of this.#values.values()) {
      if (kept.due <= now) {
        kept.wait = Math.min(LONGEST_WAIT_MS, Math.max(SHORTEST_WAIT_MS, 1.5 * rtt, 2 * kept.wait));
        kept.due = now + kept.wait;
        return this.#declaration === undefined
          ? kept.value
          : { ...kept.value, declaration: this.#declaration };
      }
    }
    return undefined;
  }

  /** When the next is to go. */
  deadline(): number | undefined {
    let first: number | undefined;
    for (const { due } of this.#values.values()) {
      first = first === undefined ? due : Math.min(first, due);
    }
    return first;
  }

  /** Send all that is not seen once more, on another path. */
  again(now: number): void {
    for (const kept of this.#values.values()) {
      kept.due = now;
      kept.wait = 0;
    }
  }

  /** Forget the value that has come; throws `link-violation` where it was never sent. */
  seen(seq: number): void {
    if (seq > this.#seq) {
      throw violation(`value ${seq} is said to have come, and ${this.#seq} was the last`);
    }
    this.#declaration = undefined;
    const key = this.#unseen.get(seq);
    if (key !== undefined) {
      this.#unseen.delete(seq);
      this.#values.delete(key);
    }
  }
}

/** Values in: none that is older than the last of its key. */
export class Newer {
  readonly #last = new Map<string, number>();

  /** Return whether it is news; throws `link-violation` where there are too many keys. */
  receive({ key, seq }: Value): boolean {
    if (seq <= (this.#last.get(key) ?? 0)) {
      return false;
    }
    if (!this.#last.has(key) && this.#last.size >= KEYS) {
      throw violation(`more than ${KEYS} keys`);
    }
    this.#last.set(key, seq);
    return true;
  }
}

/** Datagrams out: the newest few, each once. */
export class Datagrams {
  readonly #channel: number;
  #declaration: Declaration | undefined;
  readonly #waiting: Datagram[] = [];
  #seq = 0;

  constructor(channel: number, declaration: Declaration) {
    this.#channel = channel;
    this.#declaration = declaration;
  }

  /** Take a datagram; where too many wait, the oldest is dropped. */
  put(payload: Uint8Array, text: boolean): void {
    this.#seq += 1;
    this.#waiting.push({
      kind: "datagram",
      channel: this.#channel,
      seq: this.#seq,
      payload: payload.slice(),
      text,
      declaration: this.#declaration,
    });
    if (this.#waiting.length > WAITING) {
      this.#waiting.shift();
    }
  }

  /** Whether none waits. */
  get empty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Return the next to go. */
  take(): Datagram | undefined {
    return this.#waiting.shift();
  }

  /** Note that the far end knows the channel. */
  known(): void {
    this.#declaration = undefined;
  }
}

/** Datagrams in: none twice. What is older than the last 1,024 is taken for a repetition. */
export class Once {
  #highest = 0;
  /** Each number that has come, at its place modulo the size. */
  readonly #come = new Float64Array(REMEMBERED).fill(-1);

  /** Return whether it has not come before. */
  receive(seq: number): boolean {
    const place = seq % REMEMBERED;
    if (seq <= this.#highest - REMEMBERED || this.#come[place] === seq) {
      return false;
    }
    this.#come[place] = seq;
    this.#highest = Math.max(this.#highest, seq);
    return true;
  }
}
