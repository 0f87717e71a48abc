/** The SDK against a real hub with the household's lamp and thermometer: run by tests/browser/test_dashboard_sdk.py. */

import { describe, expect, it } from "vitest";
import { connect } from "../src/home.ts";
import { at, Cuttable, cut, url } from "./cuttable.ts";
import { until } from "./helpers.ts";

const LAMP = "urn:dev:household:lamp";
const THERMOMETER = "urn:dev:household:thermometer";

describe.skipIf(url === "")("a real hub", () => {
  it("is refused without a valid token", async () => {
    const home = connect({ url, token: "wrong", WebSocket: Cuttable });
    await expect(home.whenReady()).rejects.toMatchObject({ code: "unauthorized" });
  });

  it("writes, invokes, and tells what was confirmed", () =>
    at(async (home) => {
      const lamp = home.thing(LAMP);
      expect(lamp.presence.value.state).toBe("online");
      expect((await lamp.write("brightness", 42)).value).toBe(42);
      expect((await lamp.read("brightness")).value).toBe(42);
      await lamp.invoke("blink", { times: 1 }, { timeout: 10_000 });
      expect(await until(home.rtt, (rtt) => rtt !== undefined)).toBeLessThan(1000);
    }));

  it("names what is wrong, and is not disturbed by it", () =>
    at(async (home) => {
      const lamp = home.thing(LAMP);
      await expect(lamp.write("brightness", "bright")).rejects.toMatchObject({
        code: "invalid-value",
        field: expect.stringMatching(/^\/value/),
      });
      await expect(lamp.write("nothing", 1)).rejects.toMatchObject({ code: "unknown-affordance" });
      await expect(lamp.invoke("blink", { times: "x" })).rejects.toMatchObject({ code: "invalid-value" });
      await expect(home.request("dance")).rejects.toMatchObject({ code: "unknown-operation" });
      await expect(home.request("readproperty", { thingID: "urn:nobody", name: "x" })).rejects.toMatchObject({
        code: "unknown-thing",
      });
      await expect(home.thing(THERMOMETER).write("temperature", 1)).rejects.toMatchObject({
        code: "read-only",
      });
      expect((await lamp.write("brightness", 7)).value).toBe(7);
      expect(home.status.value.state).toBe("online");
    }));

  it("sees what another does, and the thermometer's readings, and their history", () =>
    at(async (one) => {
      await at(async (other) => {
        const seen = other.thing(LAMP);
        seen.observe();
        await one.thing(LAMP).write("brightness", 63);
        await until(seen.values, (values) => values.brightness?.value === 63);
      });
      const thermometer = one.thing(THERMOMETER);
      const readings: string[] = [];
      thermometer.observe();
      await new Promise<void>((resolve) => {
        thermometer.reports.on(({ name, timestamp }) => {
          if (name === "temperature" && readings.push(timestamp) === 2) {
            resolve();
          }
        });
      });
      const past = await thermometer.history("temperature", { from: new Date(one.now() - 60_000) });
      const times = past.map(([time]) => time);
      expect(times).toEqual([...times].sort((a, b) => a - b));
      for (const reading of readings) {
        expect(times).toContain(Date.parse(reading));
      }
    }));

  it("loses and doubles nothing over connections that are cut", () =>
    at(async (home) => {
      const lamp = home.thing(LAMP);
      const lost: string[] = [];
      home.sessionLost.on(() => lost.push("session"));
      const confirmed: unknown[] = [];
      for (let round = 0; round < 30; round += 1) {
        const writing = lamp.write("brightness", round).then(({ value }) => confirmed.push(value));
        if (round % 3 === 0) {
          cut();
        }
        await writing;
      }
      expect(confirmed).toEqual(Array.from({ length: 30 }, (_, round) => round));
      expect(lost).toEqual([]);
    }));
});
