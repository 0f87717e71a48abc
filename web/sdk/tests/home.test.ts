import { describe, expect, it } from "vitest";
import { PlaitError } from "../src/errors.ts";
import type { ThingEvent } from "../src/thing.ts";
import { lamp, open, startHub, until } from "./helpers.ts";

describe("a home", () => {
  it("lists things, and follows them as they come and go", async () => {
    const hub = await startHub();
    const home = open(hub);
    await home.whenReady();
    expect(home.things.value).toEqual([]);
    hub.add(lamp());
    await until(home.things, (things) => things.length === 1);
    const thing = home.thing("Lamp");
    expect(thing).toBe(home.thing("urn:test:lamp"));
    expect(thing.presence.value.state).toBe("online");
    hub.setOnline("urn:test:lamp", false);
    await until(thing.presence, ({ state }) => state === "offline");
    hub.broadcast({ operation: "observethings", thingID: "urn:test:lamp", value: null });
    await until(home.things, (things) => things.length === 0);
    expect(() => home.thing("Lamp")).toThrow(expect.objectContaining({ code: "unknown-thing" }));
  });

  it("reads, writes and tells what the device confirmed, not what was asked", async () => {
    const hub = await startHub();
    hub.add({
      ...lamp(),
      write: (name, value) => (name === "level" ? Math.min(80, value as number) : value),
    });
    const home = open(hub);
    await home.whenReady();
    const thing = home.thing("Lamp");
    expect((await thing.read("level")).value).toBe(10);
    expect((await thing.write("level", 100)).value).toBe(80);
    expect(thing.values.value.level?.value).toBe(80);
  });

  it("raises the problem that the hub tells", async () => {
    const hub = await startHub();
    hub.add({
      ...lamp(),
      invoke: () => {
        throw new PlaitError("action-failed", "the bulb is broken", { field: "/input" });
      },
    });
    const home = open(hub);
    await home.whenReady();
    const thing = home.thing("Lamp");
    await expect(thing.invoke("blink")).rejects.toMatchObject({
      code: "action-failed",
      message: "the bulb is broken",
      field: "/input",
      retry: false,
    });
    hub.setOnline("urn:test:lamp", false);
    await expect(thing.write("on", true)).rejects.toMatchObject({
      code: "offline",
      retry: true,
      status: 503,
    });
  });

  it("gives up after the caller's time, and says the deadline to the hub", async () => {
    const hub = await startHub();
    hub.add({ ...lamp(), invoke: () => new Promise(() => {}) });
    const home = open(hub);
    await home.whenReady();
    await expect(home.thing("Lamp").invoke("blink", {}, { timeout: 50 })).rejects.toMatchObject({
      code: "timeout",
    });
    const asked = hub.received.find(({ operation }) => operation === "invokeaction");
    const left = Date.parse(asked?.deadline ?? "") - Date.now();
    expect(left).toBeLessThan(50);
    expect(left).toBeGreaterThan(-5000);
  });

  it("follows values and events, and stops when it is told to", async () => {
    const hub = await startHub();
    hub.add(lamp());
    const home = open(hub);
    await home.whenReady();
    const thing = home.thing("Lamp");
    const stop = thing.observe();
    const events: ThingEvent[] = [];
    const heard = new Promise<void>((resolve) => {
      thing.events((event) => {
        events.push(event);
        resolve();
      });
    });
    await home.request("ping");
    hub.report("urn:test:lamp", "level", 42);
    hub.emit("urn:test:lamp", "hot", 81.5);
    await heard;
    expect(thing.values.value.level?.value).toBe(42);
    expect(events).toMatchObject([{ name: "hot", data: 81.5 }]);
    stop();
    await home.request("ping");
    expect(hub.received.at(-2)?.operation).toBe("unobserveallproperties");
  });

  it("gives history as times and values", async () => {
    const hub = await startHub();
    hub.add(lamp());
    hub.report("urn:test:lamp", "level", 1);
    hub.report("urn:test:lamp", "level", 2);
    const home = open(hub);
    await home.whenReady();
    const readings = await home
      .thing("Lamp")
      .history("level", { from: new Date(Date.now() - 60_000), limit: 1 });
    expect(readings).toEqual([[expect.closeTo(Date.now(), -4), 2]]);
  });

  it("measures the round trip to the hub", async () => {
    const hub = await startHub();
    const home = open(hub);
    expect(await until(home.rtt, (rtt) => rtt !== undefined)).toBeLessThan(5000);
    expect(home.path()).toMatchObject({ kind: "hub", rttMs: home.rtt.value });
  });

  it("refuses what is too large, here, and goes on", async () => {
    const hub = await startHub();
    hub.add(lamp());
    const home = open(hub);
    await home.whenReady();
    await expect(home.thing("Lamp").write("on", "x".repeat(1 << 20))).rejects.toMatchObject({
      code: "message-too-large",
    });
    expect((await home.thing("Lamp").write("on", true)).value).toBe(true);
  });
});

describe("a broken connection", () => {
  it("is resumed, and nothing is lost or doubled", async () => {
    const hub = await startHub();
    hub.add(lamp());
    const home = open(hub);
    await home.whenReady();
    const thing = home.thing("Lamp");
    thing.observe();
    await home.request("ping");
    const seen: unknown[] = [];
    thing.reports.on(({ value }) => seen.push(value));
    const lost: unknown[] = [];
    home.sessionLost.on(() => lost.push(1));
    for (let round = 0; round < 5; round += 1) {
      hub.report("urn:test:lamp", "level", round * 2);
      hub.cut();
      hub.report("urn:test:lamp", "level", round * 2 + 1);
      await until(home.status, ({ state }) => state !== "online");
      await until(home.status, ({ state }) => state === "online");
    }
    await home.request("ping");
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(lost).toEqual([]);
  });

  it("sends what was asked meanwhile, once", async () => {
    const hub = await startHub();
    hub.add(lamp());
    const home = open(hub);
    await home.whenReady();
    hub.cut();
    await until(home.status, ({ state }) => state !== "online");
    const confirmed = await home.thing("Lamp").write("level", 77);
    expect(confirmed.value).toBe(77);
    const writes = hub.received.filter(({ operation }) => operation === "writeproperty");
    expect(new Set(writes.map(({ seq }) => seq)).size).toBe(1);
  });

  it("begins anew where the session is lost: subscriptions come back, and what is not known is told", async () => {
    const hub = await startHub();
    let began: () => void = () => {};
    const running = new Promise<void>((resolve) => {
      began = resolve;
    });
    hub.add({
      ...lamp(),
      invoke: () => {
        began();
        return new Promise(() => {});
      },
    });
    const home = open(hub);
    await home.whenReady();
    const thing = home.thing("Lamp");
    thing.observe();
    const failed = expect(thing.invoke("blink")).rejects.toMatchObject({
      code: "session-lost",
      message: expect.stringContaining("not known whether it ran"),
    });
    await running;
    // So that the hub's acknowledgement of the command has come.
    await home.request("ping");
    await home.request("readproperty", { thingID: thing.id, name: "on" });
    const lost = new Promise((resolve) => home.sessionLost.on(resolve));
    hub.forget();
    expect(await lost).toMatchObject([{ operation: "invokeaction", thingID: thing.id, name: "blink" }]);
    await failed;
    await until(home.status, ({ state }) => state === "online");
    await home.request("ping");
    await home.request("ping");
    hub.report(thing.id, "level", 99);
    await until(thing.values, (values) => values.level?.value === 99);
  });

  it("stops where the credential is refused, and says why", async () => {
    const hub = await startHub();
    hub.authorize = (request) => request.headers.authorization === "Bearer good";
    const refused = open(hub, { token: "bad" });
    const { error } = await until(refused.status, ({ state }) => state === "stopped");
    expect(error).toMatchObject({ code: "unauthorized" });
    await expect(refused.whenReady()).rejects.toMatchObject({ code: "unauthorized" });
    await open(hub, { token: "good" }).whenReady();
  });

  it("stops where the hub speaks another protocol, and says so", async () => {
    const hub = await startHub();
    hub.protocol = 2;
    const home = open(hub);
    const { error } = await until(home.status, ({ state }) => state === "stopped");
    expect(error).toMatchObject({
      code: "unsupported-version",
      field: "/output/protocol",
      message: "The hub speaks protocol 2, this client 1",
    });
    await expect(home.whenReady()).rejects.toMatchObject({ code: "unsupported-version" });
  });

  it("survives frames that are not of the protocol", async () => {
    const hub = await startHub();
    hub.add(lamp());
    const home = open(hub);
    await home.whenReady();
    hub.raw("not json");
    hub.raw("[]");
    hub.raw('{"messageType":"notification","operation":7,"seq":1}');
    hub.raw('{"messageType":"response","operation":"readproperty","correlationID":"nobody"}');
    expect((await home.thing("Lamp").read("level")).value).toBe(10);
    hub.broadcast({ operation: "of-the-future", seq: 1 });
    hub.broadcast({ operation: "observeproperty", thingID: "nobody", name: "x", value: 1 });
    expect((await home.thing("Lamp").read("level")).value).toBe(10);
    expect(home.status.value.state).toBe("online");
  });

  it("answers requests of the hub that an app cannot fulfil with a problem", async () => {
    const hub = await startHub();
    const home = open(hub);
    await home.whenReady();
    hub.broadcast({ messageType: "request", operation: "invokeaction", messageID: "h1", name: "x" });
    hub.broadcast({ messageType: "request", operation: "ping", messageID: "h2" });
    await home.request("ping");
    await home.request("ping");
    const answers = hub.received.filter(({ messageType }) => messageType === "response");
    expect(answers).toMatchObject([
      { correlationID: "h1", error: { type: "urn:plait:problem:unknown-operation" } },
      { correlationID: "h2", timestamp: expect.any(String) },
    ]);
  });

  it("gives a connection up that does not answer when there is reason to doubt it", async () => {
    const hub = await startHub();
    const home = open(hub);
    await home.whenReady();
    home.reconnect();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(home.status.value.state).toBe("online");
    hub.mute = true;
    const began = performance.now();
    home.reconnect();
    await until(home.status, ({ state }) => state === "reconnecting");
    expect(performance.now() - began).toBeLessThan(3_000);
    hub.mute = false;
    hub.cut();
    await until(home.status, ({ state }) => state === "online");
  });
});
