import { describe, expect, it } from "vitest";
import { type Ways, whyNotRun, whyNotSet } from "../src/model/reach.ts";

const ONCE = "Waits for the hub, which sees to it that this is done once.";
const AWAY = "The hub is away, and there is no direct way to Lamp.";

/** The hub's answer, the thing's presence there, a direct path; then why not: set, run what may run twice, run another. */
const rows: readonly (readonly [
  Omit<Ways, "title">,
  string | undefined,
  string | undefined,
  string | undefined,
])[] = [
  [{ hub: true, presence: "online", direct: false }, undefined, undefined, undefined],
  [{ hub: true, presence: "online", direct: true }, undefined, undefined, undefined],
  [{ hub: true, presence: "asleep", direct: false }, "Lamp is asleep.", undefined, undefined],
  [
    { hub: true, presence: "offline", direct: false },
    "Lamp is offline.",
    "Lamp is offline.",
    "Lamp is offline.",
  ],
  [{ hub: true, presence: "offline", direct: true }, undefined, undefined, ONCE],
  [{ hub: false, presence: "online", direct: true }, undefined, undefined, ONCE],
  [{ hub: false, presence: "online", direct: false }, AWAY, AWAY, AWAY],
];

describe("why a thing cannot be asked", () => {
  it.each(rows)("%o", (ways, set, again, once) => {
    const known = { title: "Lamp", ...ways };
    expect(whyNotSet(known)).toBe(set);
    expect(whyNotRun(known, { idempotent: true })).toBe(again);
    expect(whyNotRun(known, { safe: true })).toBe(again);
    expect(whyNotRun(known, {})).toBe(once);
  });
});
