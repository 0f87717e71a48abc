/** The readings of one property over a moving window: what the hub remembers, then what comes. */

import type { Home, Thing, Unsubscribe } from "@plait/sdk";
import { type ReadonlySignal, signal } from "@preact/signals";
import { Buckets } from "./buckets.ts";
import { Points } from "./points.ts";

/** Milliseconds; what is longer is asked for in buckets, however often the device reports. */
const LONGEST_IN_POINTS = 15 * 60_000;

/** Columns as a chart wants them: seconds since 1970, and values. */
export interface Columns {
  readonly times: readonly number[];
  readonly values: readonly number[];
  /** The least and the greatest value around each, where one stands for several. */
  readonly low?: readonly number[];
  readonly high?: readonly number[];
}

/** What is known of a window, in points or in buckets. */
export interface Past {
  /** Ask the hub for it; rejects where the hub cannot be asked. */
  load(thing: Thing, name: string, now: number): Promise<Columns>;
  /** Take a reading as it comes; times in ms. */
  add(time: number, value: number, now: number): Columns;
}

export class Series {
  readonly #columns = signal<Columns>({ times: [], values: [] });
  readonly #hasPast = signal(false);
  readonly #off: Unsubscribe[] = [];

  /** `window` in ms. */
  constructor(home: Home, thing: Thing, name: string, window: number) {
    const past: Past = window > LONGEST_IN_POINTS ? new Buckets(window) : new Points(window);
    this.#off.push(
      thing.reports.on((report) => {
        if (report.name === name && typeof report.value === "number") {
          this.#columns.value = past.add(Date.parse(report.timestamp), report.value, home.now());
        }
      }),
      home.status.subscribe(({ state }) => {
        if (state === "online") {
          past.load(thing, name, home.now()).then(
            (columns) => {
              this.#columns.value = columns;
              this.#hasPast.value = true;
            },
            // Without its past the chart begins now; the next connection asks again.
            () => {},
          );
        }
      }),
    );
  }

  get columns(): ReadonlySignal<Columns> {
    return this.#columns;
  }

  /** Whether the hub has told the window's past. */
  get hasPast(): ReadonlySignal<boolean> {
    return this.#hasPast;
  }

  close(): void {
    for (const off of this.#off) {
      off();
    }
  }
}
