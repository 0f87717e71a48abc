/** The channels of a link: by name, by our number and by the far end's, and what is remembered of those that are over. */

import { PlaitError } from "../../errors.ts";
import { Channel, Recent } from "./channel.ts";
import type * as frames from "./frames.ts";
import { Incoming, violation } from "./reliable.ts";

export const MOST_CHANNELS = 256;

export class Table {
  readonly names = new Map<string, Channel>();
  readonly ours = new Map<number, Channel>();
  readonly theirs = new Map<number, Channel>();
  /** Numbers of theirs, and why. */
  readonly refused = new Recent<string>();
  /** Numbers of ours, and why. */
  readonly givenUp = new Recent<string>();
  /** Numbers of theirs that ended well. */
  readonly done = new Recent<frames.Ack>();
  readonly #limit: number;
  #last = 0;

  /** `limit`: bytes that may wait on each reliable channel. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Make a channel under the next number; throws `busy` where there are too many. */
  make(declaration: frames.Declaration): Channel {
    if (this.names.size >= MOST_CHANNELS) {
      throw new PlaitError("busy", `${MOST_CHANNELS} channels are open already`);
    }
    this.#last += 1;
    const channel = new Channel(this.#last, declaration, this.#limit);
    this.names.set(declaration.name, channel);
    this.ours.set(this.#last, channel);
    return channel;
  }

  /**
   * Find, or make, the channel that a frame of the far end's declares; `made` is told of one that nobody here has
   * asked for. Throws `link-violation`.
   */
  meet(
    frame: frames.Data | frames.Value | frames.Datagram,
    made: (declared: frames.Declaration) => void,
  ): Channel {
    const declared = frame.declaration;
    if (declared === undefined) {
      throw violation("a channel that was not declared");
    }
    let channel = this.names.get(declared.name);
    if (channel !== undefined && channel.declaration.delivery !== declared.delivery) {
      const here = channel.declaration.delivery;
      throw violation(`'${declared.name}' is of the class ${here} here, ${declared.delivery} there`);
    }
    if (channel?.theirs !== undefined) {
      if (!channel.ended) {
        throw violation(`'${declared.name}' has a number already`);
      }
      this.forget(channel); // it has ended, and this is the next of its name
      channel = undefined;
    }
    if (channel === undefined) {
      channel = this.#welcome(declared);
      made(declared);
    }
    channel.theirs = frame.channel;
    if (channel.into instanceof Incoming) {
      channel.into = new Incoming(frame.channel);
    }
    this.theirs.set(frame.channel, channel);
    return channel;
  }

  /** Make a channel that nobody here has asked for. */
  #welcome(declared: frames.Declaration): Channel {
    if (declared.name === "") {
      throw violation("a channel without a name");
    }
    if (this.names.size >= MOST_CHANNELS) {
      throw violation(`${MOST_CHANNELS} channels are open already`);
    }
    return this.make(declared);
  }

  forget(channel: Channel): void {
    if (this.names.get(channel.declaration.name) === channel) {
      this.names.delete(channel.declaration.name);
    }
    for (const [number, each] of this.ours) {
      if (each === channel) {
        this.ours.delete(number);
      }
    }
    for (const [number, each] of this.theirs) {
      if (each === channel) {
        this.theirs.delete(number);
        if (!this.refused.has(number) && !this.done.has(number)) {
          this.refused.set(number, "the channel has ended");
        }
      }
    }
  }
}
