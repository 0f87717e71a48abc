/**
 * Links to the things that are shown, so that they can be asked and heard without the hub: one a thing, for whoever wants it.
 * One that is lost is opened again.
 */

import { Backoff, filesOf, type Link, PlaitError, type Thing, type Unsubscribe } from "@plait/sdk";
import { type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { showPaths } from "./paths.ts";

/** Milliseconds that a link is kept when nobody wants it, so that going to and fro is seamless. */
const LINGER = 8_000;
/** A link that lasted so long, in ms, was one: where it is lost, another is opened at once. */
const LASTED = 10_000;
/** Things that are linked at a time because they are shown; the others are reached through the hub. */
const SHOWN = 32;

const links = new Map<string, SharedLink>();
let shown = 0;

/** Return the link of a thing; the same for as long as the page lives. */
export function linkOf(thing: Thing): SharedLink {
  const known = links.get(thing.id) ?? new SharedLink(thing);
  links.set(thing.id, known);
  return known;
}

/** Keep a link to a thing for as long as the component is shown, where that is `wanted`. */
export function useLink(thing: Thing, wanted: boolean): void {
  useEffect(() => {
    if (!wanted || shown >= SHOWN) {
      return;
    }
    shown += 1;
    const off = linkOf(thing).use();
    return () => {
      shown -= 1;
      off();
    };
  }, [thing, wanted]);
}

export class SharedLink {
  readonly #thing: Thing;
  /** Why there is no link, where trying again does not help. */
  readonly #problem: Signal<PlaitError | undefined> = signal(undefined);
  readonly #backoff = new Backoff();
  #users = 0;
  #link: Promise<Link> | undefined;
  #linger: ReturnType<typeof setTimeout> | undefined;

  constructor(thing: Thing) {
    this.#thing = thing;
  }

  get problem(): ReadonlySignal<PlaitError | undefined> {
    return this.#problem;
  }

  /** Keep it open until the returned function is called. */
  use(): Unsubscribe {
    this.#users += 1;
    // What fails is told by `problem`, or tried again by whoever wants it next.
    this.open().catch(() => {});
    let used = true;
    return () => {
      this.#users -= used ? 1 : 0;
      used = false;
      this.#restSoon();
    };
  }

  /** Return the link, opened where there is none; rejects where trying again does not help, or nobody wants it. */
  open(): Promise<Link> {
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
        this.#opened(link);
        return link;
      } catch (error) {
        const problem = asProblem(error);
        if (!problem.retry) {
          this.#problem.value = problem;
        }
        if (!problem.retry || this.#users === 0) {
          throw problem;
        }
        await this.#pause();
      }
    }
  }

  #opened(link: Link): void {
    const off = link.path.subscribe(() => showPaths(this.#thing, link));
    const since = performance.now();
    if (filesOf(this.#thing.description.value).gives) {
      listen(this.#thing, link);
    }
    link.closed.then(async () => {
      off();
      showPaths(this.#thing, undefined);
      this.#link = undefined;
      if (performance.now() - since < LASTED) {
        await this.#pause();
      } else {
        this.#backoff.reset();
      }
      if (this.#users > 0) {
        this.open().catch(() => {});
      }
    });
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, this.#backoff.next() * 1000));
  }

  #restSoon(): void {
    clearTimeout(this.#linger);
    this.#linger = setTimeout(() => {
      if (this.#users === 0) {
        this.#link?.then(
          (link) => link.close(),
          () => {},
        );
      }
    }, LINGER);
  }
}

/** Take what the thing sends, wherever on the page one is. */
async function listen(thing: Thing, link: Link): Promise<void> {
  const { exchangeOf } = await import("../files/exchange.ts");
  await exchangeOf(thing).listen(link);
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
