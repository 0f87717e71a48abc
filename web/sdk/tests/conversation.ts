/** Numbers both ways over a link, for as long as wanted: what is lost, doubled or out of order shows at both ends. */

import type { Channel } from "../src/link/channel.ts";
import type { Link } from "../src/link/link.ts";

/** Milliseconds between numbers; five of them at a time. */
const EVERY = 10;
const BATCH = 5;

export interface Outcome {
  readonly sent: number;
  readonly received: number;
  /** The first that was not the next expected one; undefined where all were. */
  readonly wrong: string | undefined;
}

export class Conversation {
  /** What carried the link, one after the other. */
  readonly paths: string[] = [];
  readonly link: Link;
  readonly #flow: Channel;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #ended: Promise<void>;
  #sent = 0;
  #received = 0;
  #wrong: string | undefined;

  constructor(link: Link) {
    this.link = link;
    link.path.subscribe(({ name }) => {
      if (name !== undefined && name !== this.paths.at(-1)) {
        this.paths.push(name);
      }
    });
    this.#flow = link.channel("flow");
    this.#ended = this.#listen();
    this.#timer = setInterval(() => {
      for (let each = 0; each < BATCH; each += 1) {
        this.#flow.sendNow(String(this.#sent));
        this.#sent += 1;
      }
    }, EVERY);
  }

  get received(): number {
    return this.#received;
  }

  async #listen(): Promise<void> {
    for await (const message of this.#flow) {
      if (message !== String(this.#received) && this.#wrong === undefined) {
        this.#wrong = `${message} after ${this.#received} numbers`;
      }
      this.#received += 1;
    }
  }

  /** Send no more, and wait until the far end has ended too. */
  async finish(): Promise<Outcome> {
    clearInterval(this.#timer);
    this.#flow.finish();
    await this.#ended;
    return { sent: this.#sent, received: this.#received, wrong: this.#wrong };
  }
}
