/**
 * The files of one thing: a link that is kept while its page is shown or a file is on its way, what is sent over it and
 * what the thing sends. A link that is lost is opened again, and what was on its way goes on where it stopped.
 */

import {
  Backoff,
  Kept,
  type Link,
  type OfferedFile,
  offeredFile,
  PlaitError,
  sendFile,
  type Thing,
  type Unsubscribe,
  wayOf,
} from "@plait/sdk";
import { type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { say } from "../state/notices.ts";
import { showPath } from "../state/paths.ts";
import { Transfer } from "./transfer.ts";

/** Milliseconds that the link is kept after the page was left, so that going to and fro is seamless. */
const LINGER = 8_000;
/** The largest file that is taken from a thing: this browser keeps it until it is saved. */
const LARGEST = 512 << 20;
/** Transfers that are over and still shown; the oldest go first. */
const SHOWN = 20;

const exchanges = new Map<string, Exchange>();

/** Return the exchange of a thing; the same for as long as the page lives. */
export function exchangeOf(thing: Thing): Exchange {
  const known = exchanges.get(thing.id) ?? new Exchange(thing);
  exchanges.set(thing.id, known);
  return known;
}

export class Exchange {
  /** Newest first. */
  readonly #transfers: Signal<readonly Transfer[]> = signal([]);
  /** Why there is no link, where trying again does not help. */
  readonly #problem: Signal<PlaitError | undefined> = signal(undefined);
  readonly #thing: Thing;
  readonly #backoff = new Backoff();
  readonly #kept = new Kept();
  #users = 0;
  #link: Promise<Link> | undefined;
  #linger: ReturnType<typeof setTimeout> | undefined;
  /** Files are sent one after the other: a thing takes them so. */
  #queue: Promise<void> = Promise.resolve();

  constructor(thing: Thing) {
    this.#thing = thing;
  }

  get transfers(): ReadonlySignal<readonly Transfer[]> {
    return this.#transfers;
  }

  get problem(): ReadonlySignal<PlaitError | undefined> {
    return this.#problem;
  }

  /** Keep a link, and take what the thing sends, until the returned function is called. */
  use(): Unsubscribe {
    this.#users += 1;
    this.#keep();
    let used = true;
    return () => {
      this.#users -= used ? 1 : 0;
      used = false;
      this.#restSoon();
    };
  }

  send(files: Iterable<File>): void {
    for (const file of files) {
      const transfer = this.#add(new Transfer("out", file.name, file.size));
      this.#queue = this.#queue.then(() => this.#send(transfer, file));
    }
  }

  /** Show it no more. */
  dismiss(transfer: Transfer): void {
    this.#transfers.value = this.#transfers.value.filter((one) => one !== transfer);
  }

  #add(transfer: Transfer): Transfer {
    const all = [transfer, ...this.#transfers.value];
    const over = all.filter(({ active }) => !active).slice(SHOWN);
    this.#transfers.value = all.filter((one) => !over.includes(one));
    return transfer;
  }

  get #wanted(): boolean {
    return this.#users > 0 || this.#transfers.value.some(({ active }) => active);
  }

  // The link

  /** Return the link, opened where there is none; rejects where trying again does not help. */
  #keep(): Promise<Link> {
    clearTimeout(this.#linger);
    if (this.#link === undefined) {
      this.#link = this.#open();
      this.#link.catch(() => {
        this.#link = undefined;
      });
    }
    return this.#link;
  }

  async #open(): Promise<Link> {
    while (true) {
      await online(this.#thing);
      try {
        const link = await this.#thing.link();
        this.#problem.value = undefined;
        this.#backoff.reset();
        this.#opened(link);
        return link;
      } catch (error) {
        const problem = asProblem(error);
        if (!problem.retry) {
          this.#problem.value = problem;
        }
        if (!problem.retry || !this.#wanted) {
          throw problem;
        }
        await new Promise((resolve) => setTimeout(resolve, this.#backoff.next() * 1000));
      }
    }
  }

  #opened(link: Link): void {
    const show = (): void => showPath(this.#thing, wayOf(link));
    const off = link.path.subscribe(show);
    this.#listen(link);
    link.closed.then(() => {
      off();
      showPath(this.#thing, undefined);
      this.#link = undefined;
      if (this.#wanted) {
        // What fails now is tried again by whoever wants it next.
        this.#keep().catch(() => {});
      }
    });
  }

  #restSoon(): void {
    clearTimeout(this.#linger);
    this.#linger = setTimeout(() => {
      if (!this.#wanted) {
        this.#link?.then(
          (link) => link.close(),
          () => {},
        );
      }
    }, LINGER);
  }

  // Files

  async #send(transfer: Transfer, file: File): Promise<void> {
    while (transfer.active) {
      try {
        const link = await this.#keep();
        if (!transfer.active) {
          break;
        }
        transfer.become({ kind: "measuring" });
        await sendFile(link, file, {
          signal: transfer.signal,
          progress: (done) => {
            if (transfer.phase.value.kind !== "moving") {
              transfer.become({ kind: "moving" });
            }
            transfer.progress(done);
          },
        });
        this.#over(transfer, {});
      } catch (error) {
        this.#failed(transfer, error);
      }
    }
    this.#restSoon();
  }

  /** Take what the thing sends over this link. */
  async #listen(link: Link): Promise<void> {
    try {
      while (true) {
        const offer = await offeredFile(link);
        this.#take(offer);
      }
    } catch {
      // The link is over; the next one is listened to as well.
    }
  }

  async #take(offer: OfferedFile): Promise<void> {
    const { name, size } = offer;
    // One that was on its way when a link was lost is offered again.
    const known = this.#transfers.value.find(
      (one) => one.direction === "in" && one.name === name && one.size === size && one.active,
    );
    if (known !== undefined && known.phase.value.kind !== "waiting") {
      offer.refuse("It is on its way already");
      return;
    }
    const transfer = known ?? this.#add(new Transfer("in", name, size));
    transfer.become({ kind: "moving" });
    try {
      const { progress, signal: cancelled } = transfer;
      const file = await offer.receive({ kept: this.#kept, limit: LARGEST, progress, signal: cancelled });
      this.#over(transfer, { file });
    } catch (error) {
      this.#failed(transfer, error);
      if (!transfer.active) {
        this.#kept.forget(offer.sha256);
      }
    }
    this.#restSoon();
  }

  #over(transfer: Transfer, what: { readonly file?: File }): void {
    transfer.become({ kind: "done", ...what });
    say(`${this.#thing.title}: ${transfer.name} ${transfer.direction === "out" ? "sent" : "received"}`);
  }

  #failed(transfer: Transfer, error: unknown): void {
    const { code, title, message } = asProblem(error);
    if (transfer.signal.aborted) {
      say(`${transfer.name}: cancelled`);
      return;
    }
    if (code === "link-lost" || code === "session-lost") {
      transfer.become({ kind: "waiting", why: `The link is lost: ${message}` });
      return;
    }
    const why = message === title ? title : `${title}: ${message}`;
    transfer.become({ kind: "failed", why });
    say(`${transfer.name} failed. ${why}`);
  }
}

function asProblem(error: unknown): PlaitError {
  return error instanceof PlaitError ? error : new PlaitError("error", String((error as Error).message));
}

/** Wait until the thing is there. */
function online(thing: Thing): Promise<void> {
  return new Promise((resolve) => {
    const off = thing.presence.subscribe(({ state }) => {
      if (state === "online") {
        queueMicrotask(() => off());
        resolve();
      }
    });
  });
}
