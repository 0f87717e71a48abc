/**
 * What comes twice of a linked thing: over the link at once, from the hub once it is kept. It counts once. The rules are
 * those of `src/plait/app/doubled.py`; `vectors/doubled.json` holds both to them.
 */

import type { Message } from "../messages.ts";
import type { PropertyState } from "../thing.ts";
import { microseconds } from "../time.ts";

/** Values and events of a thing that are known when they come again; no two of one name have one time. */
const REMEMBERED = 1024;
/** Milliseconds that a hub which is there has to tell what was reported before the link began to tell. */
const HUB_WITHIN = 5_000;

/** What is read of a notification here. */
export type Told = Pick<Message, "operation" | "name" | "timestamp">;

/**
 * What one linked thing has told.
 *
 * When a link begins to tell, the hub may still be about to tell what came before. So that nothing overtakes it, what
 * comes over the link is held until the hub has told that, for a while at most.
 */
export class Doubled<T extends Told = Message> {
  readonly #tell: (message: T) => void;
  /** Whether the newest link has ended: what the hub tells is all there is then. */
  readonly #over: () => boolean;
  readonly #told = new Set<string>();
  /** Of each property the last time over this link, in µs. */
  readonly #latest = new Map<string, number>();
  #byHub: number | undefined;
  #held: (() => void)[] | undefined;
  #until: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `tell` takes what is told for the first time; `over` says whether the newest link has ended. */
  constructor(tell: (message: T) => void, over: () => boolean) {
    this.#tell = tell;
    this.#over = over;
  }

  /** Go on with another link; the device may have begun anew, with an earlier clock. */
  linked(): void {
    this.release();
    this.#latest.clear();
    this.#byHub = undefined;
  }

  // Holding

  /** Hold what comes over the link, until it is known what the hub has to tell first. */
  hold(): void {
    this.#held ??= [];
    this.#until = undefined;
    this.#timer ??= setTimeout(() => this.release(), HUB_WITHIN);
  }

  /** Hold on until the hub has told what was reported at this time; undefined where nothing was. */
  reported(last: string | undefined): void {
    const until = last === undefined ? undefined : microseconds(last);
    if (until === undefined || (this.#byHub !== undefined && this.#byHub >= until)) {
      this.release();
    } else {
      this.#until = until;
    }
  }

  /** Tell what was held. */
  release(): void {
    clearTimeout(this.#timer);
    const held = this.#held ?? [];
    this.#timer = this.#held = this.#until = undefined;
    for (const work of held) {
      work();
    }
  }

  // What is told

  /** Take what the hub tells. */
  byHub(message: T): void {
    this.#take(message, false);
    if (message.timestamp !== undefined) {
      this.#byHub = microseconds(message.timestamp);
      if (this.#until !== undefined && this.#byHub >= this.#until) {
        this.release();
      }
    }
  }

  /** Take what the thing tells over its link. */
  byLink(message: T): void {
    this.inTurn(() => this.#take(message, true));
  }

  /** Do something after what is held. */
  inTurn(work: () => void): void {
    if (this.#held === undefined) {
      work();
    } else {
      this.#held.push(work);
    }
  }

  /** Whether a value that the thing was asked for over its link is news. */
  fresh(name: string, { timestamp }: Pick<PropertyState, "timestamp">): boolean {
    return this.#news({ operation: "observeproperty", name, timestamp }, true);
  }

  #take(message: T, direct: boolean): void {
    if (this.#news(message, direct)) {
      this.#tell(message);
    }
  }

  /** Whether this came for the first time, and no later value before it. */
  #news({ operation, name, timestamp }: Told, direct: boolean): boolean {
    if (name === undefined || timestamp === undefined) {
      return true;
    }
    const time = microseconds(timestamp);
    const key = `${time} ${operation} ${name}`;
    if (this.#told.has(key)) {
      return false;
    }
    this.#told.add(key);
    if (this.#told.size > REMEMBERED) {
      const [oldest = ""] = this.#told;
      this.#told.delete(oldest);
    }
    if (operation !== "observeproperty" || this.#over()) {
      return true;
    }
    const latest = this.#latest.get(name);
    if (direct) {
      this.#latest.set(name, time);
    }
    return direct || latest === undefined || time > latest;
  }
}
