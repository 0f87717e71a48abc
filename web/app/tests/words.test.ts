/** What the page says of things that are away, of files, and of a session that was lost. */

import type { Home } from "@plait/sdk";
import { beforeEach, describe, expect, it } from "vitest";
import { formatBytes } from "../src/model/format.ts";
import { countPresence } from "../src/model/presence.ts";
import { tellLost } from "../src/state/lost.ts";
import { notices } from "../src/state/notices.ts";

const now = Date.parse("2026-01-01T12:00:00Z");
const since = "2026-01-01T00:00:00Z";
const online = { state: "online", since } as const;
const offline = { state: "offline", since } as const;
const asleep = (until: string) => ({ state: "asleep", since, until }) as const;

describe("the count of things", () => {
  it.each([
    [[online], "1 thing, all online"],
    [[online, online], "2 things, all online"],
    [[online, offline], "2 things: 1 online, 1 offline"],
    [[asleep("2026-01-01T12:03:00Z")], "1 thing: 0 online, 1 asleep (next wake in 3 min)"],
    [
      [online, offline, asleep("2026-01-01T12:03:00Z"), asleep("2026-01-01T12:00:20Z")],
      "4 things: 1 online, 1 offline, 2 asleep (next wake in 20 s)",
    ],
  ])("tells those asleep apart: %#", (presences, words) => {
    expect(countPresence(presences, now)).toBe(words);
  });
});

describe("a session that was lost", () => {
  const home = {
    things: {
      value: [
        {
          id: "urn:lamp",
          title: "Hall lamp",
          description: { value: { properties: { on: { title: "Power" } }, actions: { blink: {} } } },
        },
      ],
    },
  } as unknown as Home;

  beforeEach(() => {
    notices.value = [];
  });

  it("is no more than a word where nothing is unknown", () => {
    tellLost(home, [{ operation: "opencall", thingID: "urn:lamp" }]);
    expect(notices.value).toMatchObject([{ tone: "info", title: "Connected anew" }]);
  });

  it("names what may have been done", () => {
    const blink = { operation: "invokeaction", thingID: "urn:lamp", name: "blink" };
    tellLost(home, [
      { operation: "writeproperty", thingID: "urn:lamp", name: "on" },
      blink,
      { operation: "invokeaction", thingID: "urn:gone", name: "open_door" },
      blink,
      blink,
    ]);
    expect(notices.value).toMatchObject([
      {
        tone: "error",
        title: "Session lost",
        detail:
          "It is not known whether this was done: Hall lamp: Power; Hall lamp: Blink; urn:gone: Open door and 2 more. " +
          "Everything shown is current again.",
      },
    ]);
  });
});

describe("bytes", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1_000, "1.0 KB"],
    [99_940, "99.9 KB"],
    [123_456, "123 KB"],
    [999_600, "1.0 MB"],
    [5_000_000_000_000, "5000 GB"],
  ])("%d", (bytes, words) => {
    expect(formatBytes(bytes).replace("\u202f", " ")).toBe(words);
  });
});
