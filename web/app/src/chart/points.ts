/** A short window, with each reading in it. */

import type { Reading, Thing } from "@plait/sdk";
import type { Columns, Past } from "./series.ts";

/** Asked of the hub at most. */
const LIMIT = 5_000;

export class Points implements Past {
  readonly #window: number;
  #columns: Columns = { times: [], values: [] };

  /** `window` in ms. */
  constructor(window: number) {
    this.#window = window;
  }

  async load(thing: Thing, name: string, now: number): Promise<Columns> {
    const from = new Date(now - this.#window);
    return this.#merge(await thing.history(name, { from, limit: LIMIT }));
  }

  add(time: number, value: number, now: number): Columns {
    const { times, values } = this.#columns;
    if (time / 1000 <= (times.at(-1) ?? Number.NEGATIVE_INFINITY)) {
      return this.#merge([[time, value]]);
    }
    // One reading before the window stays, so that the line enters from the left edge.
    const first = (now - this.#window) / 1000;
    const keep = Math.max(
      0,
      times.findLastIndex((known) => known < first),
    );
    this.#columns = { times: [...times.slice(keep), time / 1000], values: [...values.slice(keep), value] };
    return this.#columns;
  }

  /** Put readings in their places by time; one at a known time replaces it. */
  #merge(readings: readonly Reading[]): Columns {
    const { times, values } = this.#columns;
    const all = new Map(times.map((time, index) => [time, values[index] ?? 0]));
    for (const [time, value] of readings) {
      if (typeof value === "number") {
        all.set(time / 1000, value);
      }
    }
    const sorted = [...all].sort(([a], [b]) => a - b);
    this.#columns = { times: sorted.map(([time]) => time), values: sorted.map(([, value]) => value) };
    return this.#columns;
  }
}
