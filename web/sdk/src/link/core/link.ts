/**
 * One end of a link: named channels over whichever path is there. No clock, no I/O.
 *
 * The owner gives what arrives to `receive`, and asks `poll` for packets whenever a path takes some. When another
 * path carries the link it says so (`moved`): what is not acknowledged is sent again there, and what comes twice is
 * dropped at the far end.
 *
 *     send ──▶ channel (reliable | latest | datagram) ──▶ poll ──▶ path ──▶ receive ──▶ events
 */

import { PlaitError } from "../../errors.ts";
import type { Channel } from "./channel.ts";
import type { LinkEvent } from "./events.ts";
import * as frames from "./frames.ts";
import { Datagrams, LARGEST, Newer, Newest, Once } from "./latest.ts";
import { Incoming, LIMIT, Outgoing, violation } from "./reliable.ts";
import { type Lane, Schedule } from "./schedule.ts";
import { Table } from "./table.ts";

/** Of the frames; agreed upon when the link is opened. */
export const VERSION = 1;
/** Bytes on their way at a time: enough for 35 MB/s over 30 ms, and less than a session keeps (8 MiB). */
export const FLIGHT = 1 << 20;
const LONE_SURROGATE = /\p{Surrogate}/u;

export interface SendOptions {
  /** The time, of any clock that only goes forward, in ms. */
  readonly now: number;
  /** Of a value; for the class `latest` alone. */
  readonly key?: string;
}

/** Throw what is no broken rule; return what is one. */
function broken(error: unknown): PlaitError {
  if (error instanceof PlaitError && error.code === "link-violation") {
    return error;
  }
  throw error;
}

function invalidValue(detail: string): PlaitError {
  return new PlaitError("invalid-value", detail);
}

/** Return how many bytes a name takes; throws `invalid-value` where it is not Unicode. */
function sizeOf(name: string): number {
  if (LONE_SURROGATE.test(name)) {
    throw invalidValue("half a surrogate pair is no text");
  }
  return frames.utf8(name).length;
}

/** One end of a link. */
export class Link {
  /** Milliseconds that the path takes there and back; how soon a value is sent again follows from it. */
  rtt = 100;
  /** Bytes of messages that may be on their way at a time; what the path can hold. */
  flight = FLIGHT;
  readonly #table: Table;
  readonly #schedule: Schedule;

  /** `limit`: bytes that may wait on each reliable channel; more is refused as `busy`. */
  constructor({ limit = LIMIT }: { readonly limit?: number } = {}) {
    this.#table = new Table(limit);
    this.#schedule = new Schedule(this.#table.ours);
  }

  // Channels

  /**
   * Use a channel; what the far end sends on one of this name comes to it. Twice does nothing.
   *
   * The name has 1 to 128 bytes of UTF-8, the delivery is the same at both ends, and of the priorities, 0 to 255,
   * what is higher goes first. Throws `invalid-value` where one of these does not fit or the name stands for
   * another class already, and `busy` where there are too many channels.
   */
  open(name: string, delivery: frames.Delivery = "reliable", priority = 100): void {
    const size = sizeOf(name);
    if (size === 0 || size > frames.LONGEST_NAME) {
      throw invalidValue(`a channel's name has 1 to ${frames.LONGEST_NAME} bytes`);
    }
    if (!frames.DELIVERIES.includes(delivery)) {
      throw invalidValue(`not a delivery class: ${delivery}`);
    }
    if (!Number.isInteger(priority) || priority < 0 || priority > 255) {
      throw invalidValue(`not a priority: ${priority}`);
    }
    const known = this.#table.names.get(name);
    if (known !== undefined && known.declaration.delivery !== delivery) {
      throw invalidValue(`the channel '${name}' is of the class ${known.declaration.delivery}`);
    }
    if (known === undefined) {
      this.#table.make({ name, delivery, priority });
    }
  }

  /**
   * Send bytes, or a string, on a channel that is open. Throws `invalid-value` where it is not, or has ended,
   * `message-too-large`, and `busy` where the far end has been away, or slow, for too long. Then nothing is taken.
   */
  send(name: string, message: Uint8Array | string, { now, key = "" }: SendOptions): void {
    const channel = this.#table.names.get(name);
    if (channel === undefined || (channel.out instanceof Outgoing && channel.out.finished)) {
      throw invalidValue(`the channel '${name}' is not open`);
    }
    const text = typeof message === "string";
    const payload = text ? frames.utf8(message) : message;
    if (channel.out instanceof Outgoing) {
      channel.out.send(payload, text);
      return;
    }
    if (payload.length > LARGEST) {
      throw new PlaitError(
        "message-too-large",
        `${payload.length} bytes; one of this class has at most ${LARGEST}`,
      );
    }
    if (channel.out instanceof Datagrams) {
      channel.out.put(payload, text);
      return;
    }
    if (sizeOf(key) > frames.LONGEST_NAME) {
      throw invalidValue(`a key has at most ${frames.LONGEST_NAME} bytes`);
    }
    channel.out.put(key, payload, text, now);
  }

  /** End our direction of a channel, after all that was sent on it. */
  finish(name: string): void {
    const out = this.#table.names.get(name)?.out;
    if (out instanceof Outgoing && !out.finished) {
      out.end();
    }
  }

  /** Note that the program has taken a message of so many bytes: the far end may send as much more. */
  took(name: string, size: number): void {
    const into = this.#table.names.get(name)?.into;
    if (into instanceof Incoming) {
      into.took(size);
    }
  }

  /** Return how many bytes of a reliable channel the far end has not acknowledged. */
  buffered(name: string): number {
    const out = this.#table.names.get(name)?.out;
    return out instanceof Outgoing ? out.buffered : 0;
  }

  /** Whether the far end has everything that was sent reliably or as a value. */
  get settled(): boolean {
    return [...this.#table.ours.values()].every(({ out }) => out.empty);
  }

  // Paths

  /** Note that another path carries the link from now on, or the same one after a break. */
  moved(now: number): void {
    for (const { out, into, theirs } of this.#table.ours.values()) {
      if (out instanceof Outgoing) {
        out.again();
      } else if (out instanceof Newest) {
        out.again(now);
      }
      if (into instanceof Incoming && theirs !== undefined) {
        into.again();
      }
    }
    for (const [channel, reason] of this.#table.givenUp) {
      this.#schedule.sure.push({ kind: "reset", channel, mine: true, reason });
    }
  }

  /** Return the next packet for a lane, if something is to go there; at most `PACKET` bytes. */
  poll(now: number, lane: Lane = "any"): Uint8Array | undefined {
    return this.#schedule.packet(now, lane, this);
  }

  /** Return when `poll` will have something though nothing happens before; undefined where nothing is due. */
  deadline(): number | undefined {
    return this.#schedule.deadline();
  }

  // What arrives

  /** Take a packet that came on any path; return what follows from it. */
  receive(packet: Uint8Array): LinkEvent[] {
    const events: LinkEvent[] = [];
    try {
      for (const frame of frames.unpack(packet)) {
        this.#frame(frame, events);
      }
    } catch (error) {
      if (!(error instanceof PlaitError) || error.code !== "invalid-message") {
        throw error;
      }
      events.push({ kind: "fault", error });
    }
    return events;
  }

  #frame(frame: frames.Frame, events: LinkEvent[]): void {
    switch (frame.kind) {
      case "ping":
      case "pong":
        events.push(frame);
        break;
      case "reset":
        this.#reset(frame, events);
        break;
      case "ack":
      case "seen":
        this.#answered(frame, events);
        break;
      default:
        this.#arrived(frame, events);
    }
  }

  #answered(frame: frames.Ack | frames.Seen, events: LinkEvent[]): void {
    const channel = this.#table.ours.get(frame.channel);
    if (channel === undefined) {
      return; // of a channel that has been given up meanwhile
    }
    const { out } = channel;
    try {
      if (frame.kind === "ack" && out instanceof Outgoing) {
        out.acknowledge(frame);
        this.#retire(channel);
      } else if (frame.kind === "seen" && out instanceof Newest) {
        out.seen(frame.seq);
      } else if (frame.kind === "seen" && out instanceof Datagrams) {
        out.known();
      } else {
        throw violation("a frame of another class than the channel's");
      }
    } catch (error) {
      this.#giveUp(frame.channel, channel, broken(error), events);
    }
  }

  #arrived(frame: frames.Data | frames.Value | frames.Datagram, events: LinkEvent[]): void {
    const ack = this.#table.done.get(frame.channel);
    if (ack !== undefined) {
      this.#schedule.sure.push(ack); // it has not heard that all has come
      return;
    }
    const reason = this.#table.refused.get(frame.channel);
    if (reason !== undefined) {
      // It has not heard yet, or the word was lost.
      this.#schedule.sure.push({ kind: "reset", channel: frame.channel, mine: false, reason });
      return;
    }
    try {
      this.#takeIn(this.#table.theirs.get(frame.channel) ?? this.#meet(frame, events), frame, events);
    } catch (error) {
      this.#refuse(frame.channel, broken(error), events);
    }
  }

  #takeIn(channel: Channel, frame: frames.Data | frames.Value | frames.Datagram, events: LinkEvent[]): void {
    const { into, declaration } = channel;
    const received = { kind: "received", channel: declaration.name, key: "" } as const;
    const seen = { kind: "seen", channel: frame.channel, seq: frame.seq } as const;
    if (frame.kind === "data" && into instanceof Incoming) {
      for (const message of into.receive(frame)) {
        events.push({ ...received, ...message });
      }
      if (into.ended && !into.told) {
        into.told = true;
        events.push({ kind: "ended", channel: declaration.name, error: undefined });
        this.#retire(channel);
      }
    } else if (frame.kind === "value" && into instanceof Newer) {
      this.#schedule.fast.push(seen);
      if (into.receive(frame)) {
        events.push({ ...received, payload: frame.payload, text: frame.text, key: frame.key });
      }
    } else if (frame.kind === "datagram" && into instanceof Once) {
      if (frame.declaration !== undefined) {
        this.#schedule.fast.push(seen);
      }
      if (into.receive(frame.seq)) {
        events.push({ ...received, payload: frame.payload, text: frame.text });
      }
    } else {
      throw violation("a frame of another class than the channel's");
    }
  }

  #meet(frame: frames.Data | frames.Value | frames.Datagram, events: LinkEvent[]): Channel {
    return this.#table.meet(frame, ({ name: channel, delivery }) => {
      events.push({ kind: "opened", channel, delivery });
    });
  }

  #reset({ channel: number, mine, reason }: frames.Reset, events: LinkEvent[]): void {
    const channel = (mine ? this.#table.theirs : this.#table.ours).get(number);
    if (mine) {
      this.#table.refused.set(number, reason);
    }
    if (channel !== undefined) {
      this.#table.forget(channel);
      events.push({ kind: "ended", channel: channel.declaration.name, error: violation(reason) });
    }
  }

  /** End a channel of the far end's whose frames break the rules; the others go on. */
  #refuse(number: number, error: PlaitError, events: LinkEvent[]): void {
    this.#table.refused.set(number, error.message);
    this.#schedule.sure.push({ kind: "reset", channel: number, mine: false, reason: error.message });
    const channel = this.#table.theirs.get(number);
    if (channel !== undefined) {
      this.#table.forget(channel);
      events.push({ kind: "ended", channel: channel.declaration.name, error });
    }
  }

  #giveUp(number: number, channel: Channel, error: PlaitError, events: LinkEvent[]): void {
    this.#table.givenUp.set(number, error.message);
    this.#schedule.sure.push({ kind: "reset", channel: number, mine: true, reason: error.message });
    this.#table.forget(channel);
    events.push({ kind: "ended", channel: channel.declaration.name, error });
  }

  /** Forget a channel that both ends have finished with. */
  #retire(channel: Channel): void {
    if (channel.over) {
      if (channel.into instanceof Incoming && channel.theirs !== undefined) {
        const ack = channel.into.final();
        this.#table.done.set(channel.theirs, ack);
        this.#schedule.sure.push(ack);
      }
      this.#table.forget(channel);
    }
  }
}
