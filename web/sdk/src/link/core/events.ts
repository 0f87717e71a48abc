/** What a link tells its owner of what arrived. */

import type { PlaitError } from "../../errors.ts";
import type { Delivery, Ping, Pong } from "./frames.ts";

/** The far end uses a channel that nobody here has asked for. */
export interface Opened {
  readonly kind: "opened";
  readonly channel: string;
  readonly delivery: Delivery;
}

/** A message, or a value with its key. */
export interface Received {
  readonly kind: "received";
  readonly channel: string;
  /** UTF-8 where `text`. */
  readonly payload: Uint8Array;
  /** The far end sent a string. */
  readonly text: boolean;
  /** Of a value; empty else. */
  readonly key: string;
}

/** Nothing more comes on a channel. */
export interface Ended {
  readonly kind: "ended";
  readonly channel: string;
  /** Why, where that is not the far end's wish: a `link-violation`. */
  readonly error: PlaitError | undefined;
}

/** What came was not a packet (`invalid-message`); nothing of a channel is touched by it. */
export interface Fault {
  readonly kind: "fault";
  readonly error: PlaitError;
}

export type LinkEvent = Opened | Received | Ended | Fault | Ping | Pong;
