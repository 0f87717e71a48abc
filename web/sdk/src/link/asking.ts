/**
 * Asking a thing over an open link, once that is direct: reads, writes, actions, and what it tells of its values and events.
 * The hub is not asked, and may be away (`docs/protocol.md`, section 5). The device checks and confirms as it does for the
 * hub, and tells the hub of changes, which keeps them.
 */

import { decode, encode } from "../codec.ts";
import { PlaitError } from "../errors.ts";
import type { Message } from "../messages.ts";
import { type RequestOptions, Requests } from "../requests.ts";
import type { Link } from "./link.ts";

const CHANNEL = "~affordances";
/** Milliseconds that the device has, unless told otherwise; a command carries its deadline. */
const TIMEOUT = 10_000;

export class Asking {
  /** Takes each notification of a value or an event. */
  onTold: ((message: Message) => void) | undefined;
  /** Told when there is a direct path, and when there is none any more. */
  onDirect: ((direct: boolean) => void) | undefined;
  readonly #link: Link;
  readonly #now: () => number;
  readonly #requests: Requests;
  #wasDirect = false;
  #over = false;

  /** `now`: the time by the hub's clock, in ms. */
  constructor(link: Link, now: () => number) {
    this.#link = link;
    this.#now = now;
    const channel = link.channel(CHANNEL, { priority: 200 });
    this.#requests = new Requests((message) => channel.sendNow(encode(message)));
    channel.onMessage = (text) => this.#came(String(text));
    link.pathsChanged.on(() => this.#paths());
    link.closed.then(() => {
      this.#over = true;
      const lost = "The link to the thing ended before it answered";
      this.#requests.failAll(new PlaitError("outcome-unknown", lost));
      this.#paths();
    });
  }

  /**
   * Whether there is a direct path now: even while the hub carries the link. Where the hub fails, the link moves on, and a
   * request that the hub itself was asked does not.
   */
  get direct(): boolean {
    return this.#link.isOpen("direct") && !this.#over;
  }

  /** Whether the link has ended. */
  get over(): boolean {
    return this.#over;
  }

  /** Ask the thing; rejects as `Home.request`, and with `outcome-unknown` where the link ended before it answered. */
  ask(
    operation: string,
    members: Partial<Message>,
    { timeout = TIMEOUT }: RequestOptions = {},
  ): Promise<Message> {
    return this.#requests.ask(operation, members, { timeout }, this.#now());
  }

  #came(text: string): void {
    let message: Message;
    try {
      message = decode(text);
    } catch {
      return; // What cannot be read says nothing; a request that it should have answered ends by time.
    }
    if (message.messageType === "response") {
      this.#requests.answer(message);
    } else if (message.messageType === "notification") {
      this.onTold?.(message);
    }
  }

  #paths(): void {
    if (this.#wasDirect !== this.direct) {
      this.#wasDirect = this.direct;
      this.onDirect?.(this.#wasDirect);
    }
  }
}
