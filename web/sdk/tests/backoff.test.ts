import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Backoff } from "../src/backoff.ts";

describe("the wait before the next attempt", () => {
  it("doubles to 2 s in the first minute, and to 30 s after", () => {
    let now = 100;
    const backoff = new Backoff(
      () => 1,
      () => now,
    );
    expect(Array.from({ length: 6 }, () => backoff.next())).toEqual([0.2, 0.4, 0.8, 1.6, 2, 2]);
    now += 60;
    expect([backoff.next(), backoff.next()]).toEqual([0.2 * 2 ** 6, 0.2 * 2 ** 7]);
    expect(backoff.next()).toBe(30);
    backoff.reset();
    expect(backoff.next()).toBe(0.2);
  });

  it("is drawn evenly from nothing up to the bound, however long it fails", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.nat(5000),
        (draw, attempts) => {
          const backoff = new Backoff(
            () => draw,
            () => 0,
          );
          for (let attempt = 0; attempt < attempts; attempt += 1) {
            backoff.next();
          }
          expect(backoff.next()).toBe(draw * Math.min(2, 0.2 * 2 ** attempts));
        },
      ),
      { numRuns: 30 },
    );
  });
});
