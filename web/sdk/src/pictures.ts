/**
 * Still pictures of a thing through the hub, while no video reaches this viewer: one is asked for when the last has
 * come (`docs/protocol.md`, "Pictures").
 */

import { Backoff } from "./backoff.ts";
import { asPlaitError, type PlaitError } from "./errors.ts";
import type { Home } from "./home.ts";
import { Pace, WIDTH } from "./pace.ts";
import { Watched } from "./watched.ts";

export interface Picture {
  readonly jpeg: Blob;
  /** Pictures a second, as they come now. */
  readonly perSecond: number;
  /** When it was taken (RFC 3339). */
  readonly timestamp: string;
}

/** What does not pass by itself. */
const FINAL = new Set(["unauthorized", "forbidden", "unknown-thing", "unknown-operation", "invalid-message"]);
const PATIENCE = 10_000;
/** Seconds over which `perSecond` is counted, and the least pause after a failure. */
const OVER = 4;
const PAUSE = 0.5;

export class Pictures {
  /** The last one; undefined while there are none, or no need of them. */
  readonly last = new Watched<Picture | undefined>(undefined);
  /** Why none come, where they are wanted. */
  readonly problem = new Watched<PlaitError | undefined>(undefined);

  readonly #home: Home;
  readonly #thingID: string;
  #run: object | undefined;

  constructor(home: Home, thingID: string) {
    this.#home = home;
    this.#thingID = thingID;
  }

  /** Ask for them from now on. */
  start(): void {
    if (this.#run === undefined) {
      const run = {};
      this.#run = run;
      void this.#ask(run);
    }
  }

  /** Ask for none any more. */
  stop(): void {
    this.#run = undefined;
    this.last.value = undefined;
    this.problem.value = undefined;
  }

  async #ask(run: object): Promise<void> {
    const pace = new Pace();
    const backoff = new Backoff();
    const came: number[] = [];
    while (this.#run === run) {
      if (globalThis.document?.visibilityState === "hidden") {
        await sleep(PAUSE);
        continue;
      }
      let wait: number;
      const asked = performance.now();
      try {
        const answer = await this.#home.request(
          "readpicture",
          { thingID: this.#thingID, input: { width: WIDTH, bytes: pace.size } },
          { timeout: PATIENCE },
        );
        const { data } = answer.output as { data: string };
        const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
        const now = performance.now();
        pace.came(bytes.length, (now - asked) / 1000);
        backoff.reset();
        wait = pace.wait;
        came.push(now);
        while ((came[0] ?? now) < now - OVER * 1000) {
          came.shift();
        }
        if (this.#run === run) {
          this.problem.value = undefined;
          this.last.value = {
            jpeg: new Blob([bytes], { type: "image/jpeg" }),
            perSecond: rate(came),
            timestamp: answer.timestamp ?? "",
          };
        }
      } catch (caught) {
        const error = asPlaitError(caught);
        if (this.#run !== run) {
          return;
        }
        this.problem.value = error;
        this.last.value = undefined;
        if (FINAL.has(error.code)) {
          return;
        }
        if (error.code === "timeout") {
          pace.came(0, PATIENCE / 1000);
        }
        wait = Math.max(PAUSE, backoff.next());
      }
      await sleep(wait);
    }
  }
}

function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

/** How many come a second, from the times of the last ones, in ms. */
function rate(came: readonly number[]): number {
  const [first = 0] = came;
  const seconds = ((came.at(-1) ?? 0) - first) / 1000;
  return seconds > 0 ? (came.length - 1) / seconds : 0;
}
