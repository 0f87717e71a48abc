/** Where the messages of a call or a link go, by its id. */

import type { Message } from "./messages.ts";
import type { Unsubscribe } from "./watched.ts";

export type RouteHandler = (message: Message) => void;

/** Messages that are kept for routes that are about to be; the oldest go first. */
const MOST_EARLY = 256;

export class Routes {
  readonly #handlers = new Map<string, RouteHandler>();
  #holding = 0;
  #early: Message[] = [];

  /** Have the messages of this id brought to `handler`, first what was held. */
  on(id: string, handler: RouteHandler): Unsubscribe {
    this.#handlers.set(id, handler);
    for (const message of this.#early.filter(({ call }) => call === id)) {
      handler(message);
    }
    this.#early = this.#early.filter(({ call }) => call !== id);
    return () => this.#handlers.delete(id);
  }

  /** Keep what comes for ids that are not known yet, until the returned function is called: an answer tells them. */
  hold(): Unsubscribe {
    this.#holding += 1;
    let held = true;
    return () => {
      this.#holding -= held ? 1 : 0;
      held = false;
      if (this.#holding === 0) {
        this.#early = [];
      }
    };
  }

  /** Bring a message to its route; return whether there is one, or may be one soon. */
  bring(message: Message): boolean {
    const handler = this.#handlers.get(message.call ?? "");
    if (handler !== undefined) {
      handler(message);
      return true;
    }
    if (this.#holding > 0) {
      this.#early = [...this.#early, message].slice(-MOST_EARLY);
      return true;
    }
    return false;
  }
}
