/** Links through a real hub to a thing in Python: run by tests/browser/test_link_sdk.py, which kills the hub meanwhile. */

import { describe, expect, it } from "vitest";
import { Conversation } from "./conversation.ts";
import { at, cut, url } from "./cuttable.ts";
import { until } from "./helpers.ts";

const THING = "urn:dev:robot";
const CUTS = 8;

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe.skipIf(url === "")("a link through a real hub", () => {
  it("carries strings and bytes, values and datagrams", () =>
    at(async (home) => {
      const link = await home.thing(THING).link();
      const echo = link.channel("echo");
      for (const message of ["", "grüße", new Uint8Array(70_000).fill(7), "x".repeat(3_000_000)]) {
        await echo.send(message);
        expect(await echo.receive()).toEqual(message);
      }
      const state = link.values("state");
      for (let number = 0; number <= 50; number += 1) {
        state.set("speed", String(number));
      }
      for await (const [key, value] of state) {
        expect(key).toBe("seen speed");
        if (value === "50") {
          break;
        }
      }
      const stick = link.channel("stick", { delivery: "datagram", priority: 200 });
      stick.sendNow(Uint8Array.of(1, 2));
      expect(await stick.receive()).toEqual(Uint8Array.of(1, 2));
      expect(link.path.value.name).toBe("hub");
      await until(link.path, ({ reason }) => /^hub, \d+ ms$/.test(reason));
      expect(() => link.values("echo")).toThrow(expect.objectContaining({ code: "invalid-value" }));
      await link.close();
      await expect(echo.receive()).rejects.toMatchObject({ code: "link-lost" });
      expect(() => link.channel("echo")).toThrow(expect.objectContaining({ code: "link-lost" }));
      expect(await link.closed).toBeUndefined();
    }));

  it("takes what the thing says first", () =>
    at(async (home) => {
      for (let round = 0; round < 20; round += 1) {
        const link = await home.thing(THING).link();
        const greeting = await link.accept("greeting");
        expect(await greeting.receive()).toBe("hello");
        await link.close();
      }
    }));

  it("is told why there is none, and why it is over", () =>
    at(async (home) => {
      await expect(home.request("openlink", { thingID: "urn:nobody" })).rejects.toMatchObject({
        code: "unknown-thing",
      });
      const link = await home.thing(THING).link();
      await link.channel("fail").send("the wheel fell off");
      expect(await link.closed).toMatchObject({ code: "link-lost", message: "the wheel fell off" });
    }));

  it("refuses what a far end does not take, and goes on when it does", () =>
    at(async (home) => {
      const link = await home.thing(THING).link();
      const slow = link.channel("slow");
      const piece = new Uint8Array(1 << 20);
      let taken = 0;
      expect(() => {
        for (; taken < 100; taken += 1) {
          slow.sendNow(piece);
        }
      }).toThrow(expect.objectContaining({ code: "busy" }));
      expect(taken).toBe(8);
      await link.channel("echo").send("the others go on");
      expect(await link.channel("echo").receive()).toBe("the others go on");
      await link.channel("go").send("");
      await slow.send(piece);
      expect(await slow.receive()).toBe(String((taken + 1) * piece.length));
      await link.close();
    }));

  it(
    "loses and doubles nothing while its connection is cut, and the hub is killed",
    () =>
      at(async (home) => {
        const link = await home.thing(THING).link();
        const talk = new Conversation(link);
        let anew = 0;
        home.sessionLost.on(() => {
          anew += 1;
        });
        for (let round = 0; round < CUTS; round += 1) {
          const before = talk.received;
          while (talk.received < before + 30) {
            await pause(20);
          }
          cut();
        }
        // The one who runs this test kills the hub and starts it again when it is asked to.
        const begun = new Promise<void>((resolve) => home.sessionLost.on(() => resolve()));
        await link.channel("kill").send("the hub");
        await begun;
        const before = talk.received;
        while (talk.received < before + 100) {
          await pause(20);
        }
        const outcome = await talk.finish();
        expect(outcome.wrong).toBeUndefined();
        expect(outcome.received).toBeGreaterThan(CUTS * 30 + 100);
        expect(anew).toBe(1);
        const report = link.channel("report");
        const told = JSON.parse(String(await report.receive())) as unknown;
        expect(told).toEqual({ sent: outcome.received, received: outcome.sent, wrong: null });
        await link.close();
      }),
    60_000,
  );
});
