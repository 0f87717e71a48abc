import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { PlaitError } from "../src/errors.ts";
import type { LinkEvent, Received } from "../src/link/core/events.ts";
import * as frames from "../src/link/core/frames.ts";
import { KEYS, LARGEST, Once, WAITING } from "../src/link/core/latest.ts";
import { Link } from "../src/link/core/link.ts";
import { FRAGMENT, Incoming, LONGEST } from "../src/link/core/reliable.ts";
import { type Lane, PACKET } from "../src/link/core/schedule.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const textOf = (payload: Uint8Array) => new TextDecoder().decode(payload);

/** Carry what each has to say until neither says more; return what `b` tells. */
function carry(a: Link, b: Link, now = 0, lane: Lane = "any"): LinkEvent[] {
  const told: LinkEvent[] = [];
  for (let round = 0; round < 10_000; round++) {
    const there = a.poll(now, lane);
    const back = b.poll(now, lane);
    if (there === undefined && back === undefined) {
      return told;
    }
    if (there !== undefined) {
      expect(there.length).toBeLessThanOrEqual(PACKET);
      told.push(...b.receive(there));
    }
    if (back !== undefined) {
      a.receive(back);
    }
  }
  throw new Error("it never ends");
}

function pair(channels: Readonly<Record<string, frames.Delivery>>, limit?: number): [Link, Link] {
  const options = limit === undefined ? {} : { limit };
  const ends: [Link, Link] = [new Link(options), new Link(options)];
  for (const end of ends) {
    for (const [name, delivery] of Object.entries(channels)) {
      end.open(name, delivery);
    }
  }
  return ends;
}

function polled(link: Link, lane: Lane = "any", now = 0): Uint8Array {
  const packet = link.poll(now, lane);
  if (packet === undefined) {
    throw new Error("nothing is to go");
  }
  return packet;
}

function received(events: readonly LinkEvent[]): Received[] {
  return events.filter((event) => event.kind === "received");
}

const packet = (...given: frames.Frame[]) => frames.pack(given.map(frames.encode));

const data = (channel: number, seq: number, more: Partial<frames.Data> = {}): frames.Data => ({
  kind: "data",
  channel,
  seq,
  payload: bytes("x"),
  first: true,
  last: true,
  text: false,
  end: false,
  ...more,
});

/** The typed failure of what is called. */
function failure(call: () => unknown): PlaitError {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(PlaitError);
    return error as PlaitError;
  }
  throw new Error("it did not fail");
}

interface Vector {
  readonly what: string;
  readonly kind: string;
  readonly hex: string;
  readonly members: Readonly<Record<string, unknown>>;
}

describe("frames", () => {
  const path = new URL("../../../vectors/link.json", import.meta.url);
  const vectors = (JSON.parse(readFileSync(path, "utf8")) as { frames: Vector[] }).frames;

  it.each(vectors)("$what", ({ kind, hex, members }) => {
    const expected: Record<string, unknown> = { kind, ...members };
    if (typeof expected.payload === "string") {
      expected.payload = Uint8Array.from(Buffer.from(expected.payload, "hex"));
    }
    if (typeof expected.token === "number") {
      expected.token = BigInt(expected.token);
    }
    expect(frames.decode(Buffer.from(hex, "hex"))).toEqual(expected);
    expect(Buffer.from(frames.encode(expected as unknown as frames.Frame)).toString("hex")).toBe(hex);
  });

  it("gives back a token of 63 bits as it came", () => {
    const ping: frames.Ping = { kind: "ping", token: 2n ** 63n - 1n };
    expect(frames.decode(frames.encode(ping))).toEqual(ping);
    expect(failure(() => frames.decode(frames.encode({ ...ping, token: 2n ** 63n }))).message).toMatch(
      /63 bits/,
    );
  });

  it.each([0, 127, 128, 2 ** 31, 2 ** 32, 2 ** 49 - 1, 2 ** 49, Number.MAX_SAFE_INTEGER])(
    "counts to %d",
    (seq) => {
      const seen: frames.Seen = { kind: "seen", channel: 1, seq };
      expect(frames.decode(frames.encode(seen))).toEqual(seen);
    },
  );
});

describe("what is no packet is told and touches nothing", () => {
  const declared = (tail: string) => frames.pack([Buffer.from(`01080101${tail}`, "hex")]);

  it.each([
    [Buffer.from("0501", "hex"), "too early"],
    [Buffer.from("0201", "hex"), "too early"],
    [Buffer.from("0163", "hex"), "too early"],
    [Buffer.from("03630101", "hex"), "kind 99"],
    [Buffer.from("03000101", "hex"), "kind 0"],
    [Buffer.from(`0c07${"ff".repeat(11)}`, "hex"), "63 bits"],
    [Buffer.from(`0c0401${"ff".repeat(10)}`, "hex"), "63 bits"],
    [Buffer.from("050201010100", "hex"), "too long"],
    [declared("09000178"), "delivery class"],
    [declared("000001ff"), "UTF-8"],
    [declared(`0000ff01${"78".repeat(255)}`), "at most 128"],
  ])("%s: %s", (hostile, words) => {
    const [a, b] = pair({ x: "reliable" });
    a.send("x", "1", { now: 0 });
    const faults = b.receive(hostile);
    expect(faults).toMatchObject([{ kind: "fault", error: { code: "invalid-message" } }]);
    expect(faults[0]).toHaveProperty("error.message", expect.stringMatching(words));
    expect(received(carry(a, b)).map(({ payload }) => textOf(payload))).toEqual(["1"]);
  });
});

const X: frames.Declaration = { name: "x", delivery: "reliable", priority: 100 };
const many = (count: number, payload: Uint8Array) =>
  Array.from({ length: count }, (_, n) => data(9, 2 + n, { payload, declaration: X }));

describe("a channel that breaks the rules ends alone", () => {
  const value = { kind: "value", channel: 9, seq: 1, key: "k", payload: bytes("x"), text: false } as const;

  it.each<[string, frames.Frame[]]>([
    ["not declared", [data(9, 1)]],
    ["middle of another", [data(9, 1, { first: false, declaration: X })]],
    ["middle of another", [data(9, 1, { last: false, declaration: X }), data(9, 2)]],
    ["far ahead", [data(9, 2 ** 40, { declaration: X })]],
    ["far ahead", [data(9, 0, { declaration: X }), data(9, Number.MAX_SAFE_INTEGER)]],
    ["were granted", many(60, new Uint8Array(20_000))],
    ["were granted", many(70_000, new Uint8Array(0))],
    ["after the channel's end", [data(9, 1, { end: true, declaration: X }), data(9, 2)]],
    ["another class", [{ ...value, declaration: X }]],
    ["latest here, reliable there", [data(9, 1, { declaration: { ...X, name: "v" } })]],
    ["a number already", [data(9, 1, { declaration: X }), data(10, 1, { declaration: X })]],
    ["without a name", [data(9, 1, { declaration: { ...X, name: "" } })]],
  ])("%s", (words, hostile) => {
    const [a, b] = pair({ x: "reliable", v: "latest", good: "reliable" });
    const events = hostile.flatMap((frame) => b.receive(packet(frame)));
    for (const event of events) {
      if (event.kind === "ended" && event.error !== undefined) {
        expect(event.error.code).toBe("link-violation");
      }
    }
    const resets = [...frames.unpack(polled(b))].filter((frame) => frame.kind === "reset");
    expect(resets[0]?.reason).toContain(words);
    expect(resets[0]?.mine).toBe(false);
    a.send("good", "1", { now: 0 });
    expect(received(carry(a, b)).map(({ payload }) => textOf(payload))).toContain("1");
  });

  it("is told of a sequence number of 63 bits", () => {
    const [, b] = pair({ x: "reliable" });
    const seq = `${"ff".repeat(8)}7f`;
    const frame = Buffer.from(`010b09${seq}00640178`, "hex");
    const [ended] = b.receive(frames.pack([frame]));
    expect(ended).toMatchObject({ kind: "ended", channel: "x" });
  });

  it.each<frames.Frame>([
    { kind: "ack", channel: 1, seq: 99, limit: 0 },
    { kind: "ack", channel: 2, seq: 1, limit: 0 },
    { kind: "seen", channel: 1, seq: 1 },
    { kind: "seen", channel: 2, seq: 5 },
  ])("a forged answer: %o", (forged) => {
    const [a, b] = pair({ x: "reliable", v: "latest", good: "reliable" });
    expect(a.receive(packet(forged))).toMatchObject([{ kind: "ended", error: { code: "link-violation" } }]);
    a.send("good", "1", { now: 0 });
    expect(received(carry(a, b)).map(({ payload }) => textOf(payload))).toEqual(["1"]);
  });

  it("by too many keys", () => {
    const [a, b] = pair({ v: "latest" });
    const declaration: frames.Declaration = { name: "v", delivery: "latest", priority: 100 };
    let events: LinkEvent[] = [];
    for (let n = 0; n <= KEYS; n++) {
      events = b.receive(packet({ ...value, seq: n + 1, key: String(n), declaration }));
    }
    expect(events.at(-1)).toHaveProperty("error.message", expect.stringContaining("keys"));
    for (let n = 0; n < KEYS; n++) {
      a.send("v", "", { now: 0, key: String(n) });
    }
    expect(failure(() => a.send("v", "", { now: 0, key: "one more" })).message).toContain("keys");
  });

  it("by a message that never ends", () => {
    const incoming = new Incoming(1);
    const payload = new Uint8Array(FRAGMENT);
    incoming.receive(data(1, 1, { payload, last: false }));
    const problem = failure(() => {
      for (let seq = 2; seq < LONGEST / FRAGMENT + 4; seq++) {
        incoming.ack();
        incoming.receive(data(1, seq, { payload, first: false, last: false }));
      }
    });
    expect(problem.message).toContain("beyond");
  });

  it("and its sender hears it", () => {
    const [a, b] = [new Link(), new Link()];
    b.open("y", "latest");
    a.open("y", "reliable");
    a.send("y", "1", { now: 0 });
    b.receive(polled(a));
    const [ended] = a.receive(polled(b));
    expect(ended).toMatchObject({ kind: "ended", channel: "y" });
    expect(ended).toHaveProperty("error.message", expect.stringContaining("latest here, reliable there"));
  });

  it("and answers to a liar are bounded", () => {
    const [, b] = pair({ x: "reliable" });
    for (let channel = 0; channel < 20_000; channel++) {
      b.receive(packet(data(channel, 1)));
    }
    let answers = 0;
    for (let answer = b.poll(0); answer !== undefined; answer = b.poll(0)) {
      answers += [...frames.unpack(answer)].length;
    }
    expect(answers).toBe(4096);
  });
});

describe("reliable", () => {
  it("brings messages of every size whole", () => {
    const [a, b] = pair({ x: "reliable" });
    const sizes = [0, 1, FRAGMENT - 1, FRAGMENT, FRAGMENT + 1, 500_000];
    for (const size of sizes) {
      a.send("x", new Uint8Array(size), { now: 0 });
    }
    expect(received(carry(a, b)).map(({ payload }) => payload.length)).toEqual(sizes);
    expect(a.settled).toBe(true);
    expect(a.buffered("x")).toBe(0);
  });

  it("keeps what was sent though the program writes over it", () => {
    const [a, b] = pair({ x: "reliable" });
    const buffer = bytes("before");
    a.send("x", buffer, { now: 0 });
    buffer.set(bytes("after!"));
    expect(received(carry(a, b)).map(({ payload }) => textOf(payload))).toEqual(["before"]);
  });

  it("tells a channel that nobody asked for", () => {
    const [a, b] = [new Link(), new Link()];
    a.open("x");
    a.send("x", bytes("1"), { now: 0 });
    expect(carry(a, b)).toEqual([
      { kind: "opened", channel: "x", delivery: "reliable" },
      { kind: "received", channel: "x", payload: bytes("1"), text: false, key: "" },
    ]);
  });

  it("sends again on another path only what has not come", () => {
    const [a, b] = pair({ x: "reliable" });
    for (let n = 0; n < 10; n++) {
      a.send("x", new Uint8Array(10_000).fill(n), { now: 0 });
    }
    const got = [0, 1, 2].flatMap(() => received(b.receive(polled(a))));
    polled(a); // lost
    a.receive(polled(b));
    const before = got.length;
    a.moved(0);
    b.moved(0);
    const first = [...frames.unpack(polled(a))].find((frame) => frame.kind === "data");
    expect(first?.seq).toBe(before + 1);
    a.moved(0);
    got.push(...received(carry(a, b)));
    expect(got.map(({ payload }) => payload[0])).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("lets a command not wait behind a file", () => {
    const [a, b] = [new Link(), new Link()];
    a.open("file", "reliable", 0);
    a.open("steer", "reliable", 200);
    a.send("file", new Uint8Array(900_000), { now: 0 });
    for (let n = 0; n < 3; n++) {
      b.receive(polled(a));
    }
    a.send("steer", "left", { now: 0 });
    expect(received(b.receive(polled(a))).map(({ payload }) => textOf(payload))).toEqual(["left"]);
  });

  it("lets channels of one priority take turns", () => {
    const [a] = pair({ one: "reliable", two: "reliable" });
    a.send("one", new Uint8Array(200_000), { now: 0 });
    a.send("two", new Uint8Array(200_000), { now: 0 });
    const order = Array.from({ length: 12 }, () => [...frames.unpack(polled(a))])
      .flat()
      .map((frame) => (frame.kind === "data" ? frame.channel : 0));
    expect(order.filter((each) => each === 1)).toHaveLength(6);
    expect(order.filter((each) => each === 2)).toHaveLength(6);
  });

  it("stops the sender where the reader stops", () => {
    const [a, b] = pair({ x: "reliable" }, 64 << 20);
    for (let n = 0; n < 40; n++) {
      a.send("x", new Uint8Array(1 << 20), { now: 0 });
    }
    let more = received(carry(a, b)).length;
    expect(more).toBeGreaterThanOrEqual(4);
    expect(more).toBeLessThanOrEqual(6);
    for (let came = more; came < 40; came += more) {
      for (let n = 0; n < more; n++) {
        b.took("x", 1 << 20);
      }
      more = received(carry(a, b)).length;
      expect(more).toBeGreaterThan(0);
    }
  });

  it("says when the far end is away too long", () => {
    const [a] = pair({ x: "reliable" }, 1000);
    a.send("x", new Uint8Array(5000), { now: 0 }); // one message may be larger
    expect(failure(() => a.send("x", "1", { now: 0 }))).toMatchObject({ code: "busy", retry: true });
  });

  it("frees the name when both ends have finished", () => {
    const [a, b] = pair({ x: "reliable" });
    a.finish("x");
    expect(carry(a, b)).toEqual([{ kind: "ended", channel: "x", error: undefined }]);
    expect(failure(() => a.send("x", "2", { now: 0 })).message).toContain("not open");
    b.send("x", "late", { now: 0 });
    b.finish("x");
    expect(carry(b, a).map(({ kind }) => kind)).toEqual(["received", "ended"]);
    a.open("x");
    a.send("x", "again", { now: 0 });
    expect(received(carry(a, b)).map(({ payload }) => textOf(payload))).toEqual(["again"]);
  });
});

describe("latest and datagram", () => {
  it("keep text text", () => {
    const [a, b] = pair({ x: "reliable", v: "latest", d: "datagram" });
    for (const name of ["x", "v", "d"]) {
      a.send(name, "☃", { now: 0 });
      a.send(name, Uint8Array.of(255), { now: 0, key: name === "v" ? "other" : "" });
    }
    const told = received(carry(a, b)).map(({ channel, text, payload }) => [channel, text, [...payload]]);
    expect(told).toHaveLength(6);
    for (const name of ["x", "v", "d"]) {
      expect(told).toContainEqual([name, true, [...bytes("☃")]]);
      expect(told).toContainEqual([name, false, [255]]);
    }
  });

  it("let the newest value win, and none older follow", () => {
    const [a, b] = pair({ v: "latest" });
    for (let n = 0; n < 100; n++) {
      a.send("v", String(n), { now: 0, key: "speed" });
    }
    a.send("v", "on", { now: 0, key: "light" });
    const told = received(carry(a, b)).map(({ key, payload }) => [key, textOf(payload)]);
    expect(told).toEqual([
      ["speed", "99"],
      ["light", "on"],
    ]);
    const old = { kind: "value", channel: 1, seq: 3, key: "speed", payload: bytes("3"), text: true } as const;
    expect(b.receive(packet(old))).toEqual([]);
  });

  it("send a lost value again until it is seen", () => {
    const [a, b] = pair({ v: "latest" });
    a.rtt = 20;
    a.send("v", "1", { now: 10_000, key: "k" });
    expect(a.poll(10_000)).toBeDefined();
    expect(a.poll(10_000)).toBeUndefined();
    expect(a.deadline()).toBe(10_050);
    expect(received(b.receive(polled(a, "any", 10_050)))).toHaveLength(1);
    expect(a.deadline()).toBe(10_150);
    expect(a.settled).toBe(false);
    a.receive(polled(b));
    expect(a.settled).toBe(true);
    expect(a.deadline()).toBeUndefined();
  });

  it("bring a datagram at most once, and keep the newest", () => {
    const [a, b] = pair({ d: "datagram" });
    for (let n = 0; n < 100; n++) {
      a.send("d", Uint8Array.of(n), { now: 0 });
    }
    const packetOfAll = polled(a);
    const got = received(b.receive(packetOfAll)).map(({ payload }) => payload[0]);
    expect(got).toEqual(Array.from({ length: WAITING }, (_, n) => 100 - WAITING + n));
    expect(received(b.receive(packetOfAll))).toEqual([]);
  });

  it("go on the fast lane, and messages on the sure one", () => {
    const [a] = pair({ x: "reliable", v: "latest", d: "datagram" });
    for (const name of ["x", "v", "d"]) {
      a.send(name, "1", { now: 0 });
    }
    expect([...frames.unpack(polled(a, "fast"))].map(({ kind }) => kind).sort()).toEqual([
      "datagram",
      "value",
    ]);
    expect([...frames.unpack(polled(a, "sure"))].map(({ kind }) => kind)).toEqual(["data"]);
  });

  it("remember the last thousand", () => {
    const once = new Once();
    const told = [1, 1, 3, 2, 3, 2000, 1999, 900, 1500, 1500].map((seq) => once.receive(seq));
    expect(told).toEqual([true, false, true, true, false, true, true, false, true, false]);
  });
});

describe("what cannot be asked for", () => {
  it.each<[string, frames.Delivery, number]>([
    ["", "reliable", 1],
    ["x".repeat(129), "reliable", 1],
    ["\ud800", "reliable", 1],
    ["x", "best" as frames.Delivery, 1],
    ["x", "latest", 256],
    ["x", "latest", 0.5],
  ])("open(%j, %s, %d)", (name, delivery, priority) => {
    expect(failure(() => new Link().open(name, delivery, priority)).code).toBe("invalid-value");
  });

  it("is refused by name", () => {
    const [a] = pair({ v: "latest", x: "reliable" });
    a.open("v", "latest");
    expect(failure(() => a.open("v")).message).toContain("of the class latest");
    expect(failure(() => a.send("nobody", "", { now: 0 })).message).toContain("'nobody' is not open");
    expect(failure(() => a.send("v", new Uint8Array(LARGEST + 1), { now: 0 })).code).toBe(
      "message-too-large",
    );
    expect(failure(() => a.send("v", "", { now: 0, key: "k".repeat(129) })).message).toContain("key");
    expect(failure(() => a.send("x", new Uint8Array(LONGEST + 1), { now: 0 })).code).toBe(
      "message-too-large",
    );
  });

  it("leaves pings to the owner", () => {
    const ping: frames.Ping = { kind: "ping", token: 7n };
    const pong: frames.Pong = { kind: "pong", token: 8n };
    expect(new Link().receive(packet(ping, pong))).toEqual([ping, pong]);
  });
});
