/** The channels of a link, as programs use them. */

import { PlaitError } from "../errors.ts";
import type { Delivery } from "./core/frames.ts";

/** Bytes on a channel that the far end has not acknowledged, above which `send` waits. */
export const HIGH = 1 << 20;
/** Milliseconds without progress after which it waits no longer. */
const AWAY = 30_000;
/** Datagrams that wait for the program; the oldest go first. */
const DATAGRAMS = 1024;

/** What is sent and comes: a string, or bytes. */
export type Payload = string | Uint8Array;

/** What a channel needs of its link. */
export interface Sender {
  send(name: string, payload: Payload, key?: string): void;
  finish(name: string): void;
  took(name: string, size: number): void;
  buffered(name: string): number;
  /** Throws where the link is over. */
  check(): void;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Return what the far end sent, as it sent it; what is no UTF-8 in a string is replaced. */
function messageOf(payload: Uint8Array, text: boolean): Payload {
  return text ? decoder.decode(payload) : payload;
}

/** Waiting for news of a channel that may end. */
abstract class Ending {
  readonly name: string;
  protected readonly link: Sender;
  protected over = false;
  protected error: PlaitError | undefined;
  #waiting: (() => void)[] = [];

  constructor(name: string, link: Sender) {
    this.name = name;
    this.link = link;
  }

  /** @internal Nothing more comes, and why, where that was not the far end's wish. */
  end(error: PlaitError | undefined): void {
    this.over = true;
    this.error = error;
    this.tell();
  }

  /** @internal Something came, or the far end may have taken something. */
  tell(): void {
    for (const wake of this.#waiting.splice(0)) {
      wake();
    }
  }

  protected news(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  protected check(): void {
    this.link.check();
    if (this.error !== undefined) {
      throw this.error;
    }
  }
}

/** A channel of messages: bytes or strings, as they were sent. */
export class Channel extends Ending {
  readonly delivery: Delivery;
  readonly #inbox: { readonly message: Payload; readonly size: number }[] = [];
  #onMessage: ((message: Payload) => void) | undefined;

  constructor(name: string, delivery: Delivery, link: Sender) {
    super(name, link);
    this.delivery = delivery;
  }

  /** Bytes that the far end has not acknowledged. */
  get buffered(): number {
    return this.link.buffered(this.name);
  }

  /** Messages that wait to be received. */
  get waiting(): number {
    return this.#inbox.length;
  }

  /**
   * Send a message now. Throws `busy` where 8 MiB wait already, `message-too-large` (64 MiB, or 15 KiB of a datagram,
   * are the most), `link-lost` where the link is over, `link-violation` where the channel has ended so.
   */
  sendNow(message: Payload): void {
    this.check();
    this.link.send(this.name, message);
  }

  /**
   * Send a message once less than 1 MiB waits on this channel. Throws as `sendNow`, and `busy` where the far end has
   * taken nothing for 30 s.
   */
  async send(message: Payload): Promise<void> {
    for (let before = this.buffered; before > HIGH; before = this.buffered) {
      await this.#progress(before);
    }
    this.sendNow(message);
  }

  /** Wait until the far end has taken some of what waits. */
  async #progress(before: number): Promise<void> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.tell();
    }, AWAY);
    try {
      while (this.buffered >= before) {
        this.check();
        if (late) {
          throw new PlaitError(
            "busy",
            `the far end has taken nothing of '${this.name}' for ${AWAY / 1000} s`,
          );
        }
        await this.news();
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** End this direction, after all that was sent. */
  finish(): void {
    this.link.finish(this.name);
  }

  /** What takes messages as they come, in place of `receive`; what waits is given to it at once. */
  get onMessage(): ((message: Payload) => void) | undefined {
    return this.#onMessage;
  }

  set onMessage(take: ((message: Payload) => void) | undefined) {
    this.#onMessage = take;
    while (take !== undefined && this.#inbox.length > 0) {
      take(this.#pop());
    }
  }

  /**
   * Return the next message. Rejects with `link-lost` where the far end has ended the channel or the link is over,
   * `link-violation` where the channel broke the rules.
   */
  async receive(): Promise<Payload> {
    while (this.#inbox.length === 0) {
      if (this.over) {
        throw this.error ?? new PlaitError("link-lost", `the far end has ended '${this.name}'`);
      }
      await this.news();
    }
    return this.#pop();
  }

  /** Messages, until the far end has ended the channel; throws where that was not by its wish. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Payload, void, undefined> {
    while (true) {
      while (this.#inbox.length > 0) {
        yield this.#pop();
      }
      if (this.error !== undefined) {
        throw this.error;
      }
      if (this.over) {
        return;
      }
      await this.news();
    }
  }

  #pop(): Payload {
    const { message, size } = this.#inbox.shift() as { message: Payload; size: number };
    this.link.took(this.name, size);
    return message;
  }

  /** @internal A message came. */
  take(payload: Uint8Array, text: boolean): void {
    this.#inbox.push({ message: messageOf(payload, text), size: payload.length });
    if (this.#onMessage !== undefined) {
      this.#onMessage(this.#pop());
    } else if (this.delivery === "datagram" && this.#inbox.length > DATAGRAMS) {
      this.#inbox.shift();
    }
    this.tell();
  }
}

/** A channel of values, of which the newest of each key counts. */
export class Values extends Ending {
  /** What has come, by key. */
  readonly latest = new Map<string, Payload>();
  /** Told of each key and its new value. */
  onValue: ((key: string, value: Payload) => void) | undefined;
  readonly #fresh = new Set<string>();

  /**
   * Send the newest value of a key; one that has not gone yet is forgotten. Throws `invalid-value` where the key is
   * over 128 bytes or one of more than 4,096, `message-too-large` over 15 KiB, `link-lost` where the link is over.
   */
  set(key: string, value: Payload): void {
    this.check();
    this.link.send(this.name, value, key);
  }

  /** News as `[key, value]`: of each key the newest, where the program is slower than they come. */
  async *[Symbol.asyncIterator](): AsyncGenerator<readonly [string, Payload], void, undefined> {
    while (true) {
      for (const key of this.#fresh) {
        this.#fresh.delete(key);
        yield [key, this.latest.get(key) as Payload];
      }
      if (this.error !== undefined) {
        throw this.error;
      }
      if (this.over) {
        return;
      }
      await this.news();
    }
  }

  /** @internal A value came. */
  take(payload: Uint8Array, text: boolean, key: string): void {
    const value = messageOf(payload, text);
    this.latest.set(key, value);
    this.#fresh.add(key);
    this.onValue?.(key, value);
    this.tell();
  }
}
