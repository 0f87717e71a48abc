/** What comes twice of a linked thing counts once: as `vectors/doubled.json` has it, and in Python alike. */

import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Doubled, type Told } from "../src/link/doubled.ts";
import { microseconds } from "../src/time.ts";

type Step = { readonly told: readonly Told[] } & (
  | { readonly do: "hub" | "link"; readonly message: Told }
  | { readonly do: "hold" | "late" | "linked" | "over" }
  | { readonly do: "reported"; readonly last: string | null }
  | { readonly do: "states"; readonly states: Readonly<Record<string, string>> }
  | { readonly do: "many"; readonly count: number }
);

/** One script, played step by step. */
class Played {
  readonly told: Told[] = [];
  #over = false;
  readonly #doubled = new Doubled<Told>(
    (message) => this.told.push(message),
    () => this.#over,
  );

  play(step: Step): void {
    const doubled = this.#doubled;
    switch (step.do) {
      case "hub":
        doubled.byHub(step.message);
        break;
      case "link":
        doubled.byLink(step.message);
        break;
      case "hold":
        doubled.hold();
        break;
      case "late":
        vi.runAllTimers();
        break;
      case "linked":
        doubled.linked();
        break;
      case "over":
        this.#over = true;
        break;
      case "reported":
        doubled.reported(step.last ?? undefined);
        break;
      case "states":
        doubled.inTurn(() => this.#catchUp(step.states));
        break;
      case "many":
        for (let number = 0; number < step.count; number += 1) {
          const timestamp = `2026-11-24T11:00:00.${String(number).padStart(6, "0")}Z`;
          doubled.byLink({ operation: "subscribeevent", name: "many", timestamp });
        }
        this.told.length = 0;
    }
  }

  #catchUp(states: Readonly<Record<string, string>>): void {
    for (const [name, timestamp] of Object.entries(states)) {
      if (this.#doubled.fresh(name, { timestamp })) {
        this.told.push({ operation: "observeproperty", name, timestamp });
      }
    }
  }
}

describe("what comes over the link and from the hub", () => {
  const file = new URL("../../../vectors/doubled.json", import.meta.url);
  const { scripts } = JSON.parse(readFileSync(file, "utf8")) as {
    scripts: readonly { readonly what: string; readonly steps: readonly Step[] }[];
  };
  afterEach(() => vi.useRealTimers());

  it.each(scripts)("$what", ({ steps }) => {
    vi.useFakeTimers();
    const played = new Played();
    for (const step of steps) {
      played.play(step);
      expect(played.told).toEqual(step.told);
      played.told.length = 0;
    }
  });
});

describe("a time", () => {
  it.each([
    ["2026-11-24T12:00:01Z", 1_795_521_601_000_000],
    ["2026-11-24T12:00:01.5Z", 1_795_521_601_500_000],
    ["2026-11-24T13:00:01.000001+01:00", 1_795_521_601_000_001],
    ["2026-11-24T12:00:01.123456789Z", 1_795_521_601_123_456],
    ["1970-01-01T00:00:00Z", 0],
  ])("%s is %i µs", (text, time) => {
    expect(microseconds(text)).toBe(time);
  });
});
