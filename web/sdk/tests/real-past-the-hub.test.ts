/**
 * What passes the hub by on a direct link, what comes twice and counts once, and access taken back: with a thing in Python,
 * run by tests/browser/test_past_the_hub_sdk.py, which kills the hub when it is told to. As tests/link/test_past_the_hub.py.
 */

import { describe, expect, it } from "vitest";
import type { PlaitError } from "../src/errors.ts";
import type { Home } from "../src/home.ts";
import { Asking } from "../src/link/asking.ts";
import type { Link } from "../src/link/link.ts";
import type { Thing } from "../src/thing.ts";
import { at, url } from "./cuttable.ts";
import { until } from "./helpers.ts";
import { PeerInNode } from "./peer.ts";

const VALVE = "urn:dev:valve";

/** A direct link to the valve, and its word on what it and the one who runs this are asked to do. */
class Linked {
  readonly link: Link;

  constructor(link: Link) {
    this.link = link;
  }

  static async to(home: Home): Promise<Linked> {
    const link = await home.thing(VALVE).link({ RTCPeerConnection: PeerInNode });
    await until(link.path, ({ name }) => name === "direct");
    return new Linked(link);
  }

  async ask(what: string, ...given: number[]): Promise<unknown> {
    const orders = this.link.channel("orders");
    await orders.send(JSON.stringify([what, ...given]));
    return JSON.parse(String(await orders.receive()));
  }
}

/** What a thing tells, in order. */
class Heard {
  readonly pulses: unknown[] = [];
  readonly levels: unknown[] = [];
  #news: () => void = () => {};

  constructor(thing: Thing) {
    thing.reports.on(({ name, value }) => {
      if (name === "level") {
        this.levels.push(value);
        this.#news();
      }
    });
    thing.events(({ data }) => {
      this.pulses.push(data);
      this.#news();
    });
    thing.observe();
  }

  async until(pulse: number): Promise<void> {
    while (this.pulses.at(-1) !== pulse) {
      await new Promise<void>((resolve) => {
        this.#news = resolve;
      });
    }
  }
}

/** Ask again for as long as the device has not found back to the hub. */
async function onceItIsBack<T>(ask: () => Promise<T>): Promise<T> {
  while (true) {
    try {
      return await ask();
    } catch (error) {
      if ((error as PlaitError).code !== "offline") {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

const upTo = (last: number) => Array.from({ length: last + 1 }, (_, number) => number);

describe.skipIf(url === "")("past a hub that is killed", () => {
  it(
    "asks and hears the thing, and loses and doubles nothing when the hub is back",
    () =>
      at(async (home) => {
        const valve = home.thing(VALVE);
        const heard = new Heard(valve);
        await until(valve.values, ({ level }) => level?.value === 0);
        const linked = await Linked.to(home);
        await linked.ask("pulse", 0, 1);
        await heard.until(0);
        await linked.ask("kill");
        await until(home.status, ({ state }) => state === "reconnecting");
        expect(await valve.invoke("set_level", { level: 3 })).toBe(3);
        expect(await valve.invoke("measure")).toBe(3);
        await until(valve.values, ({ level }) => level?.value === 3);
        await linked.ask("pulse", 1, 4);
        await heard.until(3);
        await expect(valve.invoke("turn", undefined, { timeout: 300 })).rejects.toMatchObject({
          code: "timeout",
        });
        expect(await linked.ask("turned")).toBe(0);
        await linked.ask("start");
        expect(await onceItIsBack(() => valve.invoke("turn"))).toBe(1);
        await linked.ask("pulse", 4, 5);
        await heard.until(4);
        // What the device had kept for the hub has come from there, too, by the time that this has.
        await linked.link.close();
        expect(await valve.invoke("measure")).toBe(3);
        expect(heard.pulses).toEqual(upTo(4));
        expect(heard.levels).toEqual([3]);
        expect(valve.values.value.level?.value).toBe(3);
      }),
    60_000,
  );
});

describe.skipIf(url === "")("past a hub that is there", () => {
  it("counts once and in order what comes both ways while the path changes", () =>
    at(async (home) => {
      const valve = home.thing(VALVE);
      const heard = new Heard(valve);
      const run = valve.invoke("count", { last: 299 });
      await heard.until(60);
      const { link } = await Linked.to(home);
      await heard.until(200);
      await link.close();
      await heard.until(299);
      await run;
      expect(heard.pulses).toEqual(upTo(299));
      const levels = heard.levels as number[];
      expect(levels).toEqual([...new Set(levels)].sort((a, b) => a - b));
      expect(levels.at(-1)).toBe(299);
      expect(levels.length).toBeGreaterThan(280);
    }));

  it("is refused by the device what must not pass the hub by", () =>
    at(async (home) => {
      const valve = home.thing(VALVE);
      const linked = await Linked.to(home);
      const way = new Asking(linked.link, () => home.now());
      await expect(way.ask("invokeaction", { name: "turn" })).rejects.toMatchObject({
        code: "forbidden",
        message: expect.stringContaining("goes through the hub"),
      });
      const before = (await linked.ask("turned")) as number;
      expect(await valve.invoke("turn")).toBe(before + 1);
      await linked.link.close();
    }));

  it(
    "goes on through the hub when the direct path is gone, and directly again",
    () =>
      at(async (home) => {
        const valve = home.thing(VALVE);
        const heard = new Heard(valve);
        const linked = await Linked.to(home);
        await linked.ask("pulse", 0, 1);
        await heard.until(0);
        await linked.ask("drop");
        await until(linked.link.path, ({ name }) => name === "hub");
        await linked.ask("pulse", 1, 2);
        await heard.until(1);
        await until(linked.link.path, ({ name }) => name === "direct");
        await linked.ask("pulse", 2, 3);
        await heard.until(2);
        await linked.link.close();
        expect(heard.pulses).toEqual(upTo(2));
      }),
    60_000,
  );

  it("is over when access is taken back", () =>
    at(async (home) => {
      const linked = await Linked.to(home);
      linked.ask("revoke").catch(() => {});
      expect(await linked.link.closed).toBeDefined();
      expect(linked.link.isOpen("direct")).toBe(false);
      await until(home.status, ({ state }) => state === "stopped");
      await expect(home.thing(VALVE).invoke("measure")).rejects.toMatchObject({ code: "unauthorized" });
    }));
});
