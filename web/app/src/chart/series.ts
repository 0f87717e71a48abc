/** The readings of one property over a moving window: what the hub remembers, then what comes. */

import type { Home, Reading, Thing, Unsubscribe } from "@plait/sdk";
import { type ReadonlySignal, signal } from "@preact/signals";

/** Asked of the hub at most. */
const LIMIT = 5_000;

/** Columns as a chart wants them: seconds since 1970, and values. */
export interface Columns {
  readonly times: readonly number[];
  readonly values: readonly number[];
}

export class Series {
  readonly #columns = signal<Columns>({ times: [], values: [] });
  readonly #off: Unsubscribe[] = [];
  readonly #name: string;
  readonly #window: number;
  readonly #home: Home;
  readonly #thing: Thing;

  /** `window` in ms. */
  constructor(home: Home, thing: Thing, name: string, window: number) {
    this.#home = home;
    this.#thing = thing;
    this.#name = name;
    this.#window = window;
    this.#off.push(
      thing.reports.on((report) => {
        if (report.name === name) {
          this.#merge([[Date.parse(report.timestamp), report.value]]);
        }
      }),
      home.status.subscribe(({ state }) => {
        if (state === "online") {
          this.#load();
        }
      }),
    );
  }

  get columns(): ReadonlySignal<Columns> {
    return this.#columns;
  }

  close(): void {
    for (const off of this.#off) {
      off();
    }
  }

  #load(): void {
    const from = new Date(this.#home.now() - this.#window);
    this.#thing.history(this.#name, { from, limit: LIMIT }).then(
      (readings) => this.#merge(readings),
      // Without its past the chart begins now; the next connection asks again.
      () => {},
    );
  }

  /** Put readings in their places by time; one at a known time replaces it. */
  #merge(readings: readonly Reading[]): void {
    const { times, values } = this.#columns.value;
    const first = (this.#home.now() - this.#window) / 1000;
    const fresh = readings.flatMap(([time, value]) =>
      typeof value === "number" ? [[time / 1000, value] as const] : [],
    );
    const last = times.at(-1) ?? Number.NEGATIVE_INFINITY;
    if (fresh.every(([time]) => time > last) && fresh.length === 1) {
      const [time, value] = fresh[0] as readonly [number, number];
      // One reading before the window stays, so that the line enters from the left edge.
      const keep = Math.max(0, times.findIndex((known) => known >= first) - 1);
      this.#columns.value = { times: [...times.slice(keep), time], values: [...values.slice(keep), value] };
      return;
    }
    const all = new Map(times.map((time, index) => [time, values[index] ?? 0]));
    for (const [time, value] of fresh) {
      all.set(time, value);
    }
    const sorted = [...all].sort(([a], [b]) => a - b);
    this.#columns.value = { times: sorted.map(([time]) => time), values: sorted.map(([, value]) => value) };
  }
}
