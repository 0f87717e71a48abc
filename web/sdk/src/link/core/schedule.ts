/** What of a link's channels goes next, on the path that carries it. */

import { Answers, type Channel } from "./channel.ts";
import * as frames from "./frames.ts";
import { Datagrams, Newest } from "./latest.ts";
import { Incoming, Outgoing } from "./reliable.ts";

/** Bytes of a packet at the most: one large frame behind `BATCH` of small ones. */
export const PACKET = 24 << 10;

const BATCH = 8 << 10;

/**
 * sure: ordered and reliable, as a WebSocket or such a data channel. fast: may lose and overtake. any: both kinds of
 * frames go one way.
 */
export type Lane = "sure" | "fast" | "any";

/** What the path is like that is to be filled. */
export interface Way {
  /** Milliseconds there and back. */
  readonly rtt: number;
  /** Bytes of messages that may be on their way at a time. */
  readonly flight: number;
}

/** Takes turns between channels, answers before all else. */
export class Schedule {
  /** Answers for the lane of that name. */
  readonly sure = new Answers();
  readonly fast = new Answers();
  readonly #channels: ReadonlyMap<number, Channel>;
  #turn = 0;

  /** `channels` are ours, by number; the owner adds and removes them. */
  constructor(channels: ReadonlyMap<number, Channel>) {
    this.#channels = channels;
  }

  /** Return the next packet for a lane, if something is to go there; at most `PACKET` bytes. */
  packet(now: number, lane: Lane, way: Way): Uint8Array | undefined {
    const packet: Uint8Array[] = [];
    let size = 0;
    for (const frame of this.#due(now, lane, way)) {
      packet.push(frame);
      size += frames.packedSize(frame);
      if (size > BATCH) {
        break;
      }
    }
    return packet.length > 0 ? frames.pack(packet) : undefined;
  }

  /** Return when there will be a packet though nothing happens before; undefined where nothing is due. */
  deadline(): number | undefined {
    const times = [...this.#channels.values()].flatMap(({ out }) => {
      const time = out instanceof Newest ? out.deadline() : undefined;
      return time === undefined ? [] : [time];
    });
    return times.length > 0 ? Math.min(...times) : undefined;
  }

  /** Yield what is to go, taking it away one by one. */
  *#due(now: number, lane: Lane, way: Way): Generator<Uint8Array, void, undefined> {
    if (lane !== "fast") {
      for (let answer = this.sure.shift(); answer !== undefined; answer = this.sure.shift()) {
        yield answer;
      }
      for (const { into } of this.#channels.values()) {
        const ack = into instanceof Incoming ? into.ack() : undefined;
        if (ack !== undefined) {
          yield frames.encode(ack);
        }
      }
    }
    if (lane !== "sure") {
      for (let answer = this.fast.shift(); answer !== undefined; answer = this.fast.shift()) {
        yield answer;
      }
    }
    for (let frame = this.#next(now, lane, way); frame !== undefined; frame = this.#next(now, lane, way)) {
      yield frames.encode(frame);
    }
  }

  /** Take the next frame: of the highest priority, and among equals of the channel whose turn is longest ago. */
  #next(now: number, lane: Lane, way: Way): frames.Frame | undefined {
    const order = [...this.#channels.values()].sort(
      (a, b) => b.declaration.priority - a.declaration.priority || a.turn - b.turn,
    );
    for (const channel of order) {
      const frame = this.#take(channel, now, lane, way);
      if (frame !== undefined) {
        this.#turn += 1;
        channel.turn = this.#turn;
        return frame;
      }
    }
    return undefined;
  }

  #take({ out }: Channel, now: number, lane: Lane, { rtt, flight }: Way): frames.Frame | undefined {
    if (out instanceof Outgoing) {
      return lane === "fast" || this.#flying() >= flight ? undefined : out.take();
    }
    if (lane === "sure") {
      return undefined;
    }
    return out instanceof Datagrams ? out.take() : out.take(now, rtt);
  }

  #flying(): number {
    let bytes = 0;
    for (const { out } of this.#channels.values()) {
      bytes += out instanceof Outgoing ? out.flying : 0;
    }
    return bytes;
  }
}
