/**
 * The files of one thing: what is sent over its link, and what the thing sends. When the link was lost and another is there,
 * what was on its way goes on where it stopped.
 */

import {
  Kept,
  type Link,
  type OfferedFile,
  offeredFile,
  PlaitError,
  sendFile,
  type Thing,
  type Unsubscribe,
} from "@plait/sdk";
import { type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { linkOf, type SharedLink } from "../state/links.ts";
import { say } from "../state/notices.ts";
import { Transfer } from "./transfer.ts";

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
  readonly #thing: Thing;
  readonly #shared: SharedLink;
  readonly #kept = new Kept();
  /** Keeps the link while a file is on its way. */
  #busy: Unsubscribe | undefined;
  /** Files are sent one after the other: a thing takes them so. */
  #queue: Promise<void> = Promise.resolve();

  constructor(thing: Thing) {
    this.#thing = thing;
    this.#shared = linkOf(thing);
  }

  get transfers(): ReadonlySignal<readonly Transfer[]> {
    return this.#transfers;
  }

  /** Why there is no link, where trying again does not help. */
  get problem(): ReadonlySignal<PlaitError | undefined> {
    return this.#shared.problem;
  }

  /** Keep a link until the returned function is called. */
  use(): Unsubscribe {
    return this.#shared.use();
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
    this.#hold();
    return transfer;
  }

  /** Keep the link for as long as something is on its way. */
  #hold(): void {
    if (this.#transfers.value.some(({ active }) => active)) {
      this.#busy ??= this.#shared.use();
    } else {
      this.#busy?.();
      this.#busy = undefined;
    }
  }

  // Files

  async #send(transfer: Transfer, file: File): Promise<void> {
    while (transfer.active) {
      try {
        const link = await this.#shared.open();
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
    this.#hold();
  }

  /** Take what the thing sends over this link, until it is over. */
  async listen(link: Link): Promise<void> {
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
    this.#hold();
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
