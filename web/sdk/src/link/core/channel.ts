/** What a link keeps of its channels, of those that are over, and of the answers that wait. */

import { type Declaration, type Delivery, encode, type Frame } from "./frames.ts";
import { Datagrams, Newer, Newest, Once } from "./latest.ts";
import { Incoming, Outgoing } from "./reliable.ts";

const MOST_ANSWERS = 4096;
const MOST_OVER = 1024;

function outgoing(number: number, declaration: Declaration, limit: number) {
  switch (declaration.delivery) {
    case "reliable":
      return new Outgoing(number, declaration, limit);
    case "latest":
      return new Newest(number, declaration);
    case "datagram":
      return new Datagrams(number, declaration);
  }
}

function incoming(number: number, delivery: Delivery) {
  switch (delivery) {
    case "reliable":
      return new Incoming(number);
    case "latest":
      return new Newer();
    case "datagram":
      return new Once();
  }
}

/** Both directions of one channel. */
export class Channel {
  readonly declaration: Declaration;
  readonly out: Outgoing | Newest | Datagrams;
  into: Incoming | Newer | Once;
  /** The far end's number for it, once it has told one. */
  theirs: number | undefined;
  turn = 0;

  constructor(number: number, declaration: Declaration, limit: number) {
    this.declaration = declaration;
    this.out = outgoing(number, declaration, limit);
    this.into = incoming(0, declaration.delivery);
  }

  /** Whether the far end has ended its direction. */
  get ended(): boolean {
    return this.into instanceof Incoming && this.into.ended;
  }

  /** Whether both directions have ended, and everything has come. */
  get over(): boolean {
    return this.ended && this.out instanceof Outgoing && this.out.finished && this.out.empty;
  }
}

/** What is kept of channels that are over, by number; the oldest go first. */
export class Recent<T> extends Map<number, T> {
  override set(number: number, kept: T): this {
    super.set(number, kept);
    if (this.size > MOST_OVER) {
      const [oldest = number] = this.keys();
      this.delete(oldest);
    }
    return this;
  }
}

/** Answers that wait. A far end that makes us answer faster than it listens misses the oldest, no more. */
export class Answers {
  readonly #waiting: Uint8Array[] = [];

  push(frame: Frame): void {
    this.#waiting.push(encode(frame));
    if (this.#waiting.length > MOST_ANSWERS) {
      this.#waiting.shift();
    }
  }

  shift(): Uint8Array | undefined {
    return this.#waiting.shift();
  }
}
