/** What a chart draws: readings one by one, or in buckets that go on as readings come. */

import type { Bucket, StatisticsOptions, Thing } from "@plait/sdk";
import { describe, expect, it } from "vitest";
import { Buckets } from "../src/chart/buckets.ts";
import { Points } from "../src/chart/points.ts";

const HOUR = 3_600_000;
const WIDTH = HOUR / 300;
const now = Date.parse("2026-01-01T12:00:05Z");

function withStatistics(buckets: readonly Bucket[], asked: StatisticsOptions[] = []): Thing {
  return {
    statistics: async (_name: string, options: StatisticsOptions) => {
      asked.push(options);
      return [...buckets];
    },
  } as unknown as Thing;
}

const bucket = (time: number, mean: number, count = 2): Bucket => ({
  time,
  mean,
  minimum: mean - 1,
  maximum: mean + 1,
  count,
});

describe("a long window", () => {
  it("asks for stretches that begin at multiples of their width", async () => {
    const asked: StatisticsOptions[] = [];
    await new Buckets(HOUR).load(withStatistics([], asked), "t", now);
    const [{ from, to, buckets } = {}] = asked;
    const [begin, end] = [from?.getTime() ?? 1, to?.getTime() ?? 1];
    expect([begin % WIDTH, (end - begin) / (buckets ?? 0)]).toEqual([0, WIDTH]);
    expect(begin).toBeLessThanOrEqual(now - HOUR);
    expect(end).toBeGreaterThan(now);
  });

  it("has each in the middle of its stretch, with its least and greatest", async () => {
    const time = now - (now % WIDTH) - WIDTH;
    const past = new Buckets(HOUR);
    expect(await past.load(withStatistics([bucket(time, 20)]), "t", now)).toEqual({
      times: [(time + WIDTH / 2) / 1000],
      values: [20],
      low: [19],
      high: [21],
    });
    // One more in this stretch, and one in the next; then one that comes late.
    past.add(time + 1, 23, now);
    past.add(time + WIDTH, 30, now);
    expect(past.add(time + 2, 17, now)).toEqual({
      times: [(time + WIDTH / 2) / 1000, (time + 1.5 * WIDTH) / 1000],
      values: [20, 30],
      low: [17, 30],
      high: [23, 30],
    });
  });

  it("forgets what has left it", async () => {
    const past = new Buckets(HOUR);
    const old = now - (now % WIDTH) - HOUR + WIDTH;
    await past.load(withStatistics([bucket(old, 1), bucket(old + WIDTH, 2)]), "t", now);
    expect(past.add(now + 2 * WIDTH, 3, now + 2 * WIDTH).values).toEqual([2, 3]);
  });
});

describe("a short window", () => {
  it("has each reading once and in its place, whenever it comes", async () => {
    const past = new Points(60_000);
    const history = async () => [
      [now - 3_000, 1],
      [now - 1_000, 3],
      [now - 500, "not a number"],
    ];
    past.add(now - 1_000, 2, now);
    await past.load({ history } as unknown as Thing, "t", now);
    past.add(now, 4, now);
    expect(past.add(now - 2_000, 2, now).values).toEqual([1, 2, 3, 4]);
    expect(past.add(now + 61_000, 5, now + 61_000).values).toEqual([4, 5]);
  });
});
