/** Whether the hub still answers, and how fast: pings over one connection at a time. Times are in ms. */

import { type Message, newId } from "./messages.ts";
import { Watched } from "./watched.ts";

/** A hub that stays silent for longer after a ping is taken for gone. */
const SILENCE = 9_000;
/** The same, where there is reason to doubt: so long, or so many round trips. */
const DOUBTED_FOR = 700;
const DOUBTED_ROUND_TRIPS = 4;
const PING_EVERY = 4_000;
/** After a welcome the round trip is measured thrice in short succession, so that a busy start does not show. */
const FIRST_PINGS = [0, 300, 900];
/** The best of so many: what the way takes, without what this side was busy with. */
const SAMPLES = 4;

export interface Pulsed {
  send(message: Message): void;
  /** The hub does not answer any more, and why one thinks so. */
  gone(reason: string): void;
}

export class Pulse {
  /** Round trip to the hub, there and back; undefined while it is not known. */
  readonly rtt = new Watched<number | undefined>(undefined);
  readonly #owner: Pulsed;
  readonly #pings = new Map<string, number>();
  #samples: number[] = [];
  #timers: ReturnType<typeof setTimeout>[] = [];
  #beating: ReturnType<typeof setInterval> | undefined;
  #doubting: ReturnType<typeof setTimeout> | undefined;

  constructor(owner: Pulsed) {
    this.#owner = owner;
  }

  /** The connection is there. */
  start(): void {
    this.#beating = setInterval(() => this.#beat(), PING_EVERY);
    this.#timers = FIRST_PINGS.map((delay) => setTimeout(() => this.#ping(), delay));
  }

  /** It is there no more. */
  stop(): void {
    this.#trust();
    clearInterval(this.#beating);
    this.#beating = undefined;
    this.#timers.forEach(clearTimeout);
    this.#pings.clear();
    this.#samples = [];
    this.rtt.value = undefined;
  }

  /** The network may have changed: a hub that does not answer at once is taken for gone. */
  doubt(): void {
    if (this.#beating !== undefined && this.#doubting === undefined) {
      const patience = Math.max(DOUBTED_FOR, DOUBTED_ROUND_TRIPS * (this.rtt.value ?? 0));
      this.#doubting = setTimeout(() => this.#owner.gone("the hub does not answer"), patience);
      this.#ping();
    }
  }

  /** Answer the hub's ping, or take the answer to ours; false: neither. */
  takes({ operation, messageType, messageID, correlationID = "" }: Message): boolean {
    if (operation === "ping" && messageType === "request") {
      this.#owner.send({
        messageType: "response",
        operation,
        timestamp: new Date().toISOString(),
        ...(messageID === undefined ? {} : { correlationID: messageID }),
      });
      return true;
    }
    const sent = this.#pings.get(correlationID);
    if (sent === undefined) {
      return false;
    }
    this.#pings.clear();
    this.#trust();
    this.#samples = [...this.#samples, performance.now() - sent].slice(-SAMPLES);
    this.rtt.value = Math.min(...this.#samples);
    return true;
  }

  #ping(): void {
    const messageID = newId();
    this.#pings.set(messageID, performance.now());
    this.#owner.send({ messageType: "request", operation: "ping", messageID });
  }

  #beat(): void {
    const oldest = this.#pings.values().next().value;
    if (oldest !== undefined && performance.now() - oldest > SILENCE) {
      this.#owner.gone("the hub is silent");
    } else {
      this.#ping();
    }
  }

  #trust(): void {
    clearTimeout(this.#doubting);
    this.#doubting = undefined;
  }
}
