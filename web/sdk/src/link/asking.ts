/**
 * Reads and writes of a thing's properties over an open link, once that is direct: the hub is not asked
 * (`docs/protocol.md`, section 5). The device confirms as it does for the hub, and tells the hub of the change.
 */

import { decode, encode } from "../codec.ts";
import { PlaitError } from "../errors.ts";
import type { Message } from "../messages.ts";
import { type RequestOptions, Requests } from "../requests.ts";
import type { Link } from "./link.ts";

const CHANNEL = "~affordances";
const TAKEN: ReadonlySet<string> = new Set(["readproperty", "writeproperty"]);
/** Milliseconds that the device has, unless told otherwise; a command carries its deadline. */
const TIMEOUT = 10_000;

export class Asking {
  readonly #link: Link;
  readonly #now: () => number;
  readonly #requests: Requests;
  #over = false;

  /** `now`: the time by the hub's clock, in ms. */
  constructor(link: Link, now: () => number) {
    this.#link = link;
    this.#now = now;
    const channel = link.channel(CHANNEL, { priority: 200 });
    this.#requests = new Requests((message) => channel.sendNow(encode(message)));
    channel.onMessage = (text) => {
      try {
        this.#requests.answer(decode(String(text)));
      } catch {
        // What cannot be read answers nothing; its request ends by time.
      }
    };
    link.closed.then(() => {
      this.#over = true;
      const lost = "The link to the thing ended before it answered";
      this.#requests.failAll(new PlaitError("outcome-unknown", lost));
    });
  }

  /** Whether it is for this way, now. */
  takes(operation: string): boolean {
    // Also while the hub carries the link: where that fails, the link moves on, and a request to the hub does not.
    return TAKEN.has(operation) && this.#link.isOpen("direct") && !this.#over;
  }

  /** Ask the thing; rejects as `Home.request`. */
  ask(
    operation: string,
    members: Partial<Message>,
    { timeout = TIMEOUT }: RequestOptions = {},
  ): Promise<Message> {
    return this.#requests.ask(operation, members, { timeout }, this.#now());
  }
}
