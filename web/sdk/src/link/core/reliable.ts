/** A reliable channel: fragments out, kept until they are acknowledged; messages in, once and in order. */

import { PlaitError } from "../../errors.ts";
import { type Ack, type Data, type Declaration, joined } from "./frames.ts";

/** Bytes of a fragment: what a steering command may have to wait for, and what fits every data channel. */
export const FRAGMENT = 15 << 10;
/** Bytes that the far end may send beyond what was put together here. */
export const WINDOW = 1 << 20;
/** Bytes of whole messages that the program has not taken, from which on nothing more is granted. */
export const UNREAD = 4 << 20;
/** Bytes of one message. What is larger goes as a file. */
export const LONGEST = 64 << 20;
/** Bytes that each fragment, and each unread message, counts for beside its payload: none is free. */
export const COST = 16;
/** Bytes that wait for the far end's acknowledgement; more is refused as `busy`. */
export const LIMIT = 8 << 20;

/** A rule that a channel broke. */
export function violation(detail: string): PlaitError {
  return new PlaitError("link-violation", detail);
}

/** A message that has come whole. */
export interface Whole {
  readonly payload: Uint8Array;
  readonly text: boolean;
}

interface Kept {
  readonly data: Data;
  /** The byte of the channel at which it ends, with what each fragment costs. */
  readonly ends: number;
}

/** What we send. */
export class Outgoing {
  readonly #channel: number;
  readonly #limit: number;
  /** Told until the far end has answered. */
  #declaration: Declaration | undefined;
  #granted = WINDOW;
  /** By number, `#acked + 1` to `#last`. */
  readonly #kept = new Map<number, Kept>();
  #acked = 0;
  #last = 0;
  /** The number of what goes next on this path. */
  #next = 1;
  /** The byte at which the last fragment ends. */
  #sent = 0;
  #buffered = 0;
  #finished = false;
  #flying = 0;

  constructor(channel: number, declaration: Declaration, limit = LIMIT) {
    this.#channel = channel;
    this.#declaration = declaration;
    this.#limit = limit;
  }

  /** Payload bytes that are not acknowledged. */
  get buffered(): number {
    return this.#buffered;
  }

  /** Nothing more may be sent. */
  get finished(): boolean {
    return this.#finished;
  }

  /** Of `buffered`, what was given to the path that carries the link now. */
  get flying(): number {
    return this.#flying;
  }

  /** Whether all of it has come. */
  get empty(): boolean {
    return this.#kept.size === 0;
  }

  /** Take a message; throws `message-too-large`, or `busy` where too much waits already. Then nothing is taken. */
  send(payload: Uint8Array, text: boolean): void {
    const size = payload.length;
    if (size > LONGEST) {
      throw new PlaitError("message-too-large", `${size} bytes; a message of a link has at most ${LONGEST}`);
    }
    if (this.#buffered > 0 && this.#buffered + size > this.#limit) {
      throw new PlaitError("busy", `the far end has not taken ${this.#buffered} bytes yet`);
    }
    let start = 0;
    do {
      // A copy: the program may use its bytes for something else while they wait.
      const piece = payload.slice(start, start + FRAGMENT);
      const last = start + FRAGMENT >= size;
      this.#keep({ payload: piece, first: start === 0, last, text, end: false });
      start += FRAGMENT;
    } while (start < size);
    this.#buffered += size;
  }

  /** Say, after all that was sent, that nothing more comes. */
  end(): void {
    this.#finished = true;
    this.#keep({ payload: new Uint8Array(0), first: true, last: true, text: false, end: true });
  }

  #keep(what: Omit<Data, "kind" | "channel" | "seq">): void {
    this.#last += 1;
    this.#sent += what.payload.length + COST;
    const data: Data = { kind: "data", channel: this.#channel, seq: this.#last, ...what };
    this.#kept.set(this.#last, { data, ends: this.#sent });
  }

  /** Return the next fragment to go, if there is one and the far end has room for it. */
  take(): Data | undefined {
    const kept = this.#kept.get(this.#next);
    if (kept === undefined || kept.ends > this.#granted) {
      return undefined;
    }
    this.#next += 1;
    this.#flying += kept.data.payload.length;
    return this.#declaration === undefined ? kept.data : { ...kept.data, declaration: this.#declaration };
  }

  /** Send all that is not acknowledged once more: another path carries it now. */
  again(): void {
    this.#next = this.#acked + 1;
    this.#flying = 0;
  }

  /** Forget what has come; throws `link-violation` where it was never sent. */
  acknowledge({ seq, limit }: Ack): void {
    if (seq > this.#last) {
      throw violation(`fragment ${seq} is acknowledged, and ${this.#last} was the last`);
    }
    this.#declaration = undefined;
    this.#granted = Math.max(this.#granted, limit);
    while (this.#acked < seq) {
      this.#acked += 1;
      const size = this.#kept.get(this.#acked)?.data.payload.length ?? 0;
      this.#kept.delete(this.#acked);
      this.#buffered -= size;
      if (this.#next > this.#acked) {
        this.#flying -= size;
      } else {
        this.#next = this.#acked + 1; // it went before the link moved, and came all the same
      }
    }
  }
}

/** What comes. */
export class Incoming {
  /** The far end's number for the channel. */
  readonly #channel: number;
  #seq = 0;
  /** Bytes that came in order. */
  #taken = 0;
  #granted = WINDOW;
  readonly #early = new Map<number, Data>();
  #earlyBytes = 0;
  #partial: Uint8Array[] | undefined;
  #size = 0;
  #text = false;
  #due = false;
  #unread = 0;
  #ended = false;
  /** The owner knows that it has ended. */
  told = false;

  constructor(channel: number) {
    this.#channel = channel;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Take a fragment; return the messages that are whole now. Throws `link-violation`: a number far ahead, more
   * than was granted, fragments that overlap or never end.
   */
  receive(data: Data): Whole[] {
    this.#due = true;
    if (data.seq <= this.#seq || this.#early.has(data.seq)) {
      return [];
    }
    if (data.seq > this.#seq + 1 + WINDOW) {
      throw violation(`fragment ${data.seq} is far ahead of ${this.#seq}`);
    }
    const counted = data.payload.length + COST;
    if (this.#taken + this.#earlyBytes + counted > this.#granted) {
      throw violation(`more than the ${this.#granted} bytes that were granted`);
    }
    this.#early.set(data.seq, data);
    this.#earlyBytes += counted;
    const whole: Whole[] = [];
    for (;;) {
      const next = this.#early.get(this.#seq + 1);
      if (next === undefined) {
        return whole;
      }
      this.#seq += 1;
      this.#early.delete(this.#seq);
      this.#earlyBytes -= next.payload.length + COST;
      this.#taken += next.payload.length + COST;
      const message = this.#put(next);
      if (message !== undefined) {
        whole.push(message);
        this.#unread += message.payload.length + COST;
      }
    }
  }

  #put(data: Data): Whole | undefined {
    if (this.#ended) {
      throw violation("a fragment comes after the channel's end");
    }
    if (data.first !== (this.#partial === undefined)) {
      throw violation("a message begins in the middle of another, or without a beginning");
    }
    if (this.#partial === undefined) {
      this.#partial = [];
      this.#size = 0;
      this.#text = data.text;
    }
    this.#partial.push(data.payload);
    this.#size += data.payload.length;
    if (this.#size > LONGEST) {
      throw violation(`a message goes on beyond ${LONGEST} bytes`);
    }
    if (!data.last) {
      return undefined;
    }
    const payload = joined(this.#partial);
    this.#partial = undefined;
    this.#ended = data.end;
    return data.end ? undefined : { payload, text: this.#text };
  }

  /** Note that the program has taken a message of so many bytes. */
  took(size: number): void {
    const held = this.#unread > UNREAD;
    this.#unread -= size + COST;
    this.#due ||= held && this.#unread <= UNREAD;
  }

  /** Return what the far end is to be told, where something is due. */
  ack(): Ack | undefined {
    if (!this.#due) {
      return undefined;
    }
    this.#due = false;
    if (this.#unread <= UNREAD) {
      this.#granted = Math.max(this.#granted, this.#taken + WINDOW);
    }
    return this.final();
  }

  /** Return the last acknowledgement. */
  final(): Ack {
    return { kind: "ack", channel: this.#channel, seq: this.#seq, limit: this.#granted };
  }

  /** Tell it once more: the last acknowledgement may have gone down with its path. */
  again(): void {
    this.#due = true;
  }
}
