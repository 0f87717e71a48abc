import type { ThingDescription } from "@plait/sdk";
import { describe, expect, it } from "vitest";
import {
  formatAgo,
  formatBitrate,
  formatRtt,
  formatState,
  formatTime,
  formatValue,
  humanize,
} from "../src/model/format.ts";
import { actionsOf, isCamera, planTile } from "../src/model/plan.ts";
import { symbolOf } from "../src/model/units.ts";

describe("words", () => {
  it.each([
    ["degreeCelsius", "°C"],
    ["unit:DegreeCelsius", "°C"],
    ["http://qudt.org/vocab/unit/PERCENT", "%"],
    ["kilo-watt hour", "kWh"],
    ["smoots", "smoots"],
    [undefined, ""],
  ])("unit %s", (unit, symbol) => {
    expect(symbolOf(unit)).toBe(symbol);
  });

  it("values", () => {
    expect(formatValue(21.46, { type: "number", unit: "degreeCelsius" })).toBe("21.5\u202f°C");
    expect(formatValue(21, { type: "number" })).toBe("21.0");
    expect(formatValue(21, { type: "integer" })).toBe("21");
    expect(formatValue(12345.6, { type: "number" })).toBe("12,346");
    expect(formatValue(1.25, { type: "number", multipleOf: 0.05 })).toBe("1.25");
    expect(formatValue(true, { type: "boolean", title: "Power" })).toBe("On");
    expect(formatValue(true, { type: "boolean", title: "Locked" })).toBe("Yes");
    expect(formatState(false, { type: "boolean", title: "Locked" })).toBe("Not locked");
    expect(formatValue("max_power", { type: "string", enum: ["max_power"] })).toBe("Max power");
    expect(formatValue(undefined, {})).toBe("–");
    expect(formatValue({ a: 1 }, {})).toBe('{"a":1}');
    expect(humanize("timesLeft_today")).toBe("Times left today");
  });

  it("figures and times", () => {
    expect([undefined, 0.01, 0.44, 3.4, 1234].map(formatRtt)).toEqual([
      "– ms",
      "0.1 ms",
      "0.4 ms",
      "3 ms",
      "1.2 s",
    ]);
    expect([840_000, 2_400_000].map(formatBitrate)).toEqual(["840 kbit/s", "2.4 Mbit/s"]);
    const now = new Date(2026, 0, 2, 12, 0).getTime();
    expect(formatTime(new Date(2026, 0, 2, 9, 5), new Date(now))).toBe("09:05");
    expect(formatTime(new Date(2026, 0, 1, 9, 5), new Date(now))).toBe("1 Jan, 09:05");
    expect([0, 5_000, 180_000, 7_200_000].map((ago) => formatAgo(now - ago, now))).toEqual([
      "now",
      "5 s ago",
      "3 min ago",
      "10:00",
    ]);
  });
});

const base = { id: "urn:x", title: "X" };

describe("what a tile shows", () => {
  it("prefers a switch to a reading, and a reading to the rest", () => {
    const description: ThingDescription = {
      ...base,
      properties: {
        note: { type: "string" },
        temperature: { type: "number", readOnly: true },
        on: { type: "boolean" },
        level: { type: "integer", minimum: 0, maximum: 9 },
      },
    };
    const plan = planTile(description);
    expect(plan.primary).toMatchObject({ name: "on", title: "On", control: { kind: "switch" } });
    expect(plan.others.map(({ name }) => name)).toEqual(["temperature", "level"]);
  });

  it("knows a camera by its type or its link, and shows beside it only what can be set", () => {
    const properties = { status: { type: "string", readOnly: true }, light: { type: "boolean" } } as const;
    const camera: ThingDescription = { ...base, "@type": ["Thing", "Camera"], properties };
    const plan = planTile(camera);
    expect(plan).toMatchObject({ camera: true, primary: undefined });
    expect(plan.others.map(({ name }) => name)).toEqual(["light"]);
    expect(isCamera({ ...base, links: [{ rel: "plait:call", href: "/ws", "plait:media": ["video"] }] })).toBe(
      true,
    );
    expect(isCamera({ ...base, links: [{ rel: "plait:call", href: "/ws", "plait:media": ["audio"] }] })).toBe(
      false,
    );
    expect(isCamera(base)).toBe(false);
  });

  it("runs an action at once only where nothing has to be filled in", () => {
    const times = { type: "integer", default: 3 } as const;
    const actions = actionsOf({
      ...base,
      actions: {
        stop: {},
        blink: { input: { type: "object", properties: { times } } },
        go: { input: { type: "object", properties: { times }, required: ["times"] } },
        say: { input: { type: "string" } },
      },
    });
    expect(actions.filter(({ immediate }) => immediate).map(({ name }) => name)).toEqual(["stop", "blink"]);
  });

  it("shows something for a thing that has nothing", () => {
    expect(planTile(base)).toEqual({ camera: false, primary: undefined, others: [], actions: [] });
  });
});
