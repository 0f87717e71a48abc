/** A long window, in equal stretches of time: each with its mean, its least and its greatest value. */

import type { Bucket, Thing } from "@plait/sdk";
import type { Columns, Past } from "./series.ts";

/** As many as a chart has columns that the eye tells apart. */
const BUCKETS = 300;

export class Buckets implements Past {
  readonly #window: number;
  /** Milliseconds; the stretches begin at its multiples, so that what comes fits to what was. */
  readonly #width: number;
  #buckets: readonly Bucket[] = [];

  /** `window` in ms. */
  constructor(window: number) {
    this.#window = window;
    this.#width = window / BUCKETS;
  }

  async load(thing: Thing, name: string, now: number): Promise<Columns> {
    const begin = this.#beginOf(now - this.#window);
    const buckets = BUCKETS + 1;
    const [from, to] = [new Date(begin), new Date(begin + buckets * this.#width)];
    this.#buckets = await thing.statistics(name, { from, to, buckets });
    return this.#columns();
  }

  add(time: number, value: number, now: number): Columns {
    const begin = this.#beginOf(time);
    const first = this.#beginOf(now - this.#window);
    const known = this.#buckets.find((bucket) => bucket.time === begin);
    const rest = this.#buckets.filter((bucket) => bucket.time >= first && bucket !== known);
    const taken =
      known === undefined
        ? { time: begin, mean: value, minimum: value, maximum: value, count: 1 }
        : {
            time: begin,
            mean: known.mean + (value - known.mean) / (known.count + 1),
            minimum: Math.min(known.minimum, value),
            maximum: Math.max(known.maximum, value),
            count: known.count + 1,
          };
    this.#buckets = [...rest, taken].sort((a, b) => a.time - b.time);
    return this.#columns();
  }

  #beginOf(time: number): number {
    return Math.floor(time / this.#width) * this.#width;
  }

  /** A bucket stands in the middle of its stretch. */
  #columns(): Columns {
    return {
      times: this.#buckets.map(({ time }) => (time + this.#width / 2) / 1000),
      values: this.#buckets.map(({ mean }) => mean),
      low: this.#buckets.map(({ minimum }) => minimum),
      high: this.#buckets.map(({ maximum }) => maximum),
    };
  }
}
