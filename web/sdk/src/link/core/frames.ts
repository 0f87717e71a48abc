/**
 * What travels between the two ends of a link, to bytes and back: `docs/protocol.md`, section 5.
 *
 * A packet is one or more frames, each after its length. Numbers are unsigned LEB128 of 63 bits at most.
 */

import { PlaitError } from "../../errors.ts";

export const DELIVERIES = ["reliable", "latest", "datagram"] as const;
export type Delivery = (typeof DELIVERIES)[number];

/** Bytes of a channel's name, and of a value's key, in UTF-8. */
export const LONGEST_NAME = 128;

const LONGEST_REASON = 1024;
const KINDS = ["data", "ack", "value", "seen", "datagram", "reset", "ping", "pong"] as const;
const FLAGGED: ReadonlySet<string> = new Set(["data", "value", "datagram", "reset"]);
const FIRST = 1;
const LAST = 2;
const TEXT = 4;
const DECLARED = 8;
const END = 16;

/** What a channel is; rides on its frames until the far end has answered one. */
export interface Declaration {
  readonly name: string;
  readonly delivery: Delivery;
  /** 0 to 255; higher goes first. */
  readonly priority: number;
}

/** A fragment of a message on a reliable channel. */
export interface Data {
  readonly kind: "data";
  /** The sender's number for the channel. */
  readonly channel: number;
  /** 1, 2, 3, … in each direction of each channel. */
  readonly seq: number;
  readonly payload: Uint8Array;
  /** Whether the message begins with it. */
  readonly first: boolean;
  /** Whether the message ends with it. */
  readonly last: boolean;
  /** The message is a string in UTF-8. */
  readonly text: boolean;
  /** Nothing comes after this message on this channel. */
  readonly end: boolean;
  readonly declaration?: Declaration | undefined;
}

/** What has come of a channel, and how much more may. */
export interface Ack {
  readonly kind: "ack";
  /** The number of the end whose frames these are: the receiver's of this frame. */
  readonly channel: number;
  /** All up to this have come. */
  readonly seq: number;
  /** So many payload bytes, counted from the channel's beginning, may be sent in all. */
  readonly limit: number;
}

/** The newest value of a key, on a channel of class `latest`. */
export interface Value {
  readonly kind: "value";
  readonly channel: number;
  readonly seq: number;
  readonly key: string;
  readonly payload: Uint8Array;
  readonly text: boolean;
  readonly declaration?: Declaration | undefined;
}

/** Says that a value has come. */
export interface Seen {
  readonly kind: "seen";
  readonly channel: number;
  readonly seq: number;
}

/** A message that comes at most once. */
export interface Datagram {
  readonly kind: "datagram";
  readonly channel: number;
  readonly seq: number;
  readonly payload: Uint8Array;
  readonly text: boolean;
  readonly declaration?: Declaration | undefined;
}

/** Ends a channel by force. */
export interface Reset {
  readonly kind: "reset";
  readonly channel: number;
  /** Whether the sender gives up a channel of its own; else it refuses one of the receiver's. */
  readonly mine: boolean;
  /** In words. */
  readonly reason: string;
}

/** Asks whether a path works. It is answered on the path on which it came. */
export interface Ping {
  readonly kind: "ping";
  /** 63 bits, given back as they are. */
  readonly token: bigint;
}

/** Answers a `Ping`. */
export interface Pong {
  readonly kind: "pong";
  readonly token: bigint;
}

export type Frame = Data | Ack | Value | Seen | Datagram | Reset | Ping | Pong;

const ENCODER = new TextEncoder();
// A byte order mark is a character of a name as any other.
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function invalid(detail: string): PlaitError {
  return new PlaitError("invalid-message", detail);
}

/** Return a string's bytes in UTF-8. */
export function utf8(text: string): Uint8Array {
  return ENCODER.encode(text);
}

/** Return the bytes of these parts, one behind the other. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function pushNumber(out: number[], value: number | bigint): void {
  let rest = BigInt(value);
  while (rest > 0x7fn) {
    out.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  out.push(Number(rest));
}

function pushString(out: number[], text: string): void {
  const data = utf8(text);
  pushNumber(out, data.length);
  out.push(...data);
}

function pushDeclaration(out: number[], declaration: Declaration | undefined): void {
  if (declaration !== undefined) {
    out.push(DELIVERIES.indexOf(declaration.delivery), declaration.priority);
    pushString(out, declaration.name);
  }
}

function flagsOf(frame: Data | Value | Datagram): number {
  const common = (frame.text ? TEXT : 0) | (frame.declaration === undefined ? 0 : DECLARED);
  if (frame.kind !== "data") {
    return common;
  }
  return common | (frame.first ? FIRST : 0) | (frame.last ? LAST : 0) | (frame.end ? END : 0);
}

/** Return a frame's bytes. */
export function encode(frame: Frame): Uint8Array {
  const head = [KINDS.indexOf(frame.kind) + 1];
  switch (frame.kind) {
    case "ping":
    case "pong":
      pushNumber(head, frame.token);
      return Uint8Array.from(head);
    case "reset":
      head.push(frame.mine ? 1 : 0);
      pushNumber(head, frame.channel);
      pushString(head, frame.reason);
      return Uint8Array.from(head);
    case "ack":
    case "seen":
      pushNumber(head, frame.channel);
      pushNumber(head, frame.seq);
      if (frame.kind === "ack") {
        pushNumber(head, frame.limit);
      }
      return Uint8Array.from(head);
    default:
      head.push(flagsOf(frame));
      pushNumber(head, frame.channel);
      pushNumber(head, frame.seq);
      pushDeclaration(head, frame.declaration);
      if (frame.kind === "value") {
        pushString(head, frame.key);
      }
      return joined([Uint8Array.from(head), frame.payload]);
  }
}

function lengthOf(frame: Uint8Array): Uint8Array {
  const length: number[] = [];
  pushNumber(length, frame.length);
  return Uint8Array.from(length);
}

/** Return the packet that holds these encoded frames. */
export function pack(encoded: readonly Uint8Array[]): Uint8Array {
  return joined(encoded.flatMap((frame) => [lengthOf(frame), frame]));
}

/** Return how many bytes a frame takes in a packet. */
export function packedSize(frame: Uint8Array): number {
  return frame.length + lengthOf(frame).length;
}

/** Yield the frames of a packet; throws `invalid-message` where from there on it is none. */
export function* unpack(packet: Uint8Array): Generator<Frame, void, undefined> {
  const reader = new Reader(packet);
  while (reader.rest > 0) {
    yield decode(reader.take(reader.number()));
  }
}

/** Return the frame that these bytes are; throws `invalid-message` where they are none. */
export function decode(data: Uint8Array): Frame {
  const reader = new Reader(data);
  const number = reader.byte();
  const kind = KINDS[number - 1];
  const flags = kind !== undefined && FLAGGED.has(kind) ? reader.byte() : 0;
  if (kind === "ping" || kind === "pong") {
    const token = reader.exact();
    reader.done();
    return { kind, token };
  }
  const channel = reader.number();
  if (kind === "reset") {
    const reason = reader.string(LONGEST_REASON);
    reader.done();
    return { kind, channel, mine: flags !== 0, reason };
  }
  const seq = reader.number();
  if (kind === "ack") {
    const limit = reader.number();
    reader.done();
    return { kind, channel, seq, limit };
  }
  if (kind === "seen") {
    reader.done();
    return { kind, channel, seq };
  }
  if (kind === undefined) {
    throw invalid(`no frame is of the kind ${number}`);
  }
  const declared = (flags & DECLARED) !== 0 ? { declaration: reader.declaration() } : {};
  const text = (flags & TEXT) !== 0;
  if (kind === "value") {
    const key = reader.string(LONGEST_NAME);
    return { kind, channel, seq, key, payload: reader.remainder(), text, ...declared };
  }
  const payload = reader.remainder();
  if (kind === "datagram") {
    return { kind, channel, seq, payload, text, ...declared };
  }
  const [first, last, end] = [FIRST, LAST, END].map((flag) => (flags & flag) !== 0) as [
    boolean,
    boolean,
    boolean,
  ];
  return { kind, channel, seq, payload, first, last, text, end, ...declared };
}

/** Reads one frame or packet from its beginning. */
class Reader {
  readonly #data: Uint8Array;
  #at = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  get rest(): number {
    return this.#data.length - this.#at;
  }

  byte(): number {
    const byte = this.#data[this.#at];
    if (byte === undefined) {
      throw invalid("a frame ends too early");
    }
    this.#at += 1;
    return byte;
  }

  take(count: number): Uint8Array {
    if (count > this.rest) {
      throw invalid("a frame ends too early");
    }
    this.#at += count;
    return this.#data.subarray(this.#at - count, this.#at);
  }

  /** Return a copy of what is left: it outlives the packet. */
  remainder(): Uint8Array {
    return Uint8Array.from(this.take(this.rest));
  }

  /** Return a number as it is. */
  exact(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (value >= 1n << 63n || shift > 63n) {
        throw invalid("a number is beyond 63 bits");
      }
      if (byte < 0x80) {
        return value;
      }
    }
  }

  /**
   * Return a number; beyond 2^53 - 1, which no honest end reaches by counting, it is that one: such a channel
   * is not known, and such a fragment or acknowledgement is far ahead, as they are unrounded.
   */
  number(): number {
    let value = 0;
    const start = this.#at;
    for (let factor = 1; factor < 2 ** 49; factor *= 2 ** 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) {
        return value;
      }
    }
    this.#at = start;
    const exact = this.exact();
    return exact > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(exact);
  }

  string(most: number): string {
    const length = this.number();
    if (length > most) {
      throw invalid(`a name has at most ${most} bytes`);
    }
    const data = this.take(length);
    try {
      return DECODER.decode(data);
    } catch {
      throw invalid("a name is not UTF-8");
    }
  }

  declaration(): Declaration {
    const kind = this.byte();
    const priority = this.byte();
    const delivery = DELIVERIES[kind];
    if (delivery === undefined) {
      throw invalid(`no delivery class has the number ${kind}`);
    }
    return { name: this.string(LONGEST_NAME), delivery, priority };
  }

  done(): void {
    if (this.rest > 0) {
      throw invalid("a frame goes on too long");
    }
  }
}
