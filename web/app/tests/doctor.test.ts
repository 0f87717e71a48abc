import { describe, expect, it } from "vitest";
import { codecs, device, secureContext, webrtc } from "../src/doctor/browser.ts";
import { type Finding, failed, passed, skipped, summary, warned } from "../src/doctor/finding.ts";
import { clock, http, type Told, webSocket } from "../src/doctor/hub.ts";
import {
  apart,
  type Found,
  type Gathered,
  ipv6,
  mdns,
  nat,
  type Relayed,
  turn,
  udp,
} from "../src/doctor/servers.ts";

const judged = ({ verdict, said }: Finding): string => `${verdict}: ${said}`;

describe("the whole", () => {
  const [good, bad, doubtful] = [passed("a", ""), failed("b", "", "do"), warned("c", "", "do")];
  it.each([
    [[good, skipped("d", "")], "All is well"],
    [[good, doubtful], "All works, with one disadvantage"],
    [[doubtful, doubtful], "All works, with 2 disadvantages"],
    [[bad, doubtful], "One thing does not work"],
    [[bad, bad], "2 things do not work"],
  ])("%#", (findings, said) => {
    expect(summary(findings)).toBe(said);
  });
});

describe("the browser", () => {
  it("needs a secure page", () => {
    expect(secureContext(true, "https://hub").verdict).toBe("pass");
    expect(judged(secureContext(false, "http://hub"))).toContain("fail: http://hub is plain http");
    expect(webrtc(false).verdict).toBe("fail");
  });

  it.each([
    ["granted", 1, "pass"],
    ["prompt", 1, "pass"],
    ["unknown", 1, "pass"],
    ["denied", 1, "warn"],
    ["granted", 0, "skip"],
    ["prompt", undefined, "skip"],
  ] as const)("a microphone that is %s, of %s", (permission, found, verdict) => {
    expect(device("microphone", permission, found).verdict).toBe(verdict);
  });

  it.each([
    [["video/H264", "video/VP8", "audio/opus"], "pass: H264, VP8, Opus"],
    [["video/VP8", "audio/opus"], "warn: VP8, Opus, and no H.264"],
    [["video/rtx", "audio/opus"], "fail: this browser plays Opus"],
    [["video/H264"], "fail: this browser plays H264"],
    [[], "fail: this browser plays none"],
  ])("%s", (types, said) => {
    expect(judged(codecs(types))).toContain(said);
  });
});

describe("the hub", () => {
  const told = (ahead: number): Told => ({
    iceServers: [],
    hubTime: 1_000_000,
    ourTime: 1_000_000 + ahead,
    roundTrip: 20,
    protocol: "http/1.1",
  });

  it.each([
    [0, "pass: within 0.0 s"],
    [-1_900, "pass: within 1.9 s"],
    [3_000, "warn: 3 s ahead of"],
    [-7_200_000, "fail: 2 hours behind"],
  ])("a clock that is %s ms ahead", (ahead, said) => {
    expect(judged(clock(told(ahead)))).toContain(said);
  });

  it("answers, or not", () => {
    expect(judged(http(told(0), true))).toBe("pass: answers in 20 ms by http/1.1");
    expect(http(told(0), true).name).toBe("Hub by TLS");
    expect(http(undefined, false).verdict).toBe("fail");
    expect(clock(undefined).verdict).toBe("skip");
    expect(webSocket(undefined).verdict).toBe("fail");
    expect(judged(webSocket(3))).toBe("pass: 3 ms there and back");
  });
});

const [A, B] = ["stun:a:3478", "stun:b:3478"];
const srflx = (port: number, foundation = "f", address = "203.0.113.7"): Found => ({
  type: "srflx",
  address,
  port,
  foundation,
});
const host = (address: string): Found => ({ type: "host", address, port: 5000, foundation: "h" });
const gathered = (candidates: Found[], silent: string[] = [], asked = [A, B]): Gathered => ({
  candidates,
  asked,
  silent,
});

describe("servers", () => {
  it("are taken apart", () => {
    const known = { username: "u", credential: "c" };
    const found = apart([
      { urls: "stun:a:3478" },
      { urls: ["turn:a:3478", "turn:a:3478?transport=tcp", "turns:a:443?transport=tcp"], ...known },
      { urls: ["stuns:a:443", "http://a", "stun:a:3478"] },
    ]);
    expect(found.map(({ url, transport }) => [url, transport])).toEqual([
      ["stun:a:3478", undefined],
      ["turn:a:3478", "udp"],
      ["turn:a:3478?transport=tcp", "tcp"],
      ["turns:a:443?transport=tcp", "tls"],
    ]);
    expect(found[1]?.config).toEqual({ urls: "turn:a:3478", ...known });
  });

  it.each([
    ["one port for all", gathered([srflx(1)]), "pass: cone"],
    ["another port for each", gathered([srflx(1), srflx(2)]), "warn: symmetric"],
    ["two ways out", gathered([srflx(1, "f"), srflx(2, "g")]), "pass: cone"],
    ["one of two answers", gathered([srflx(1)], [B]), "skip: there is one"],
    ["IPv6 has none", gathered([srflx(1, "f", "2001:db8::1")]), "pass: none"],
    ["no NAT", gathered([host("203.0.113.7")]), "pass: none"],
    ["nobody answers", gathered([], [A, B]), "skip: no STUN server answered"],
    ["nobody to ask", gathered([], [], []), "skip: the hub gives no STUN server"],
  ])("a NAT: %s", (_, found, said) => {
    expect(judged(nat(found, true))).toContain(said);
  });

  it.each([
    [[], true, "pass: all 2 STUN servers answer"],
    [[B], true, `warn: no answer from ${B}`],
    [[A, B], true, "warn: no STUN server answers"],
    [[A, B, B], false, "fail: no STUN server answers"],
  ])("silent: %s", (silent, relayed, said) => {
    expect(judged(udp(gathered([], silent), relayed))).toBe(said);
  });

  const tried = (members: Partial<Relayed>): Relayed => ({
    url: "turn:a",
    transport: "udp",
    allocated: false,
    roundTrip: undefined,
    code: 0,
    why: "",
    ...members,
  });

  it.each([
    [{ allocated: true, roundTrip: 20 }, "pass: 20 ms there and back through turn:a"],
    [{ allocated: true }, "fail: turn:a gives relays, and nothing passes"],
    [{ code: 401, why: "Unauthorized" }, "fail: turn:a gives no relay: 401 Unauthorized"],
    [{ code: 701 }, "fail: turn:a cannot be reached"],
    [{}, "fail: turn:a cannot be reached"],
  ])("TURN: %s", (members, said) => {
    expect(judged(turn([tried(members)])[0] as Finding)).toContain(said);
  });

  it("a TURN server that fails is only warned of where another works", () => {
    const found = turn([tried({ code: 701 }), tried({ transport: "tcp", allocated: true, roundTrip: 9 })]);
    expect(found.map(({ name, verdict }) => [name, verdict])).toEqual([
      ["TURN by UDP", "warn"],
      ["TURN by TCP", "pass"],
    ]);
    expect(turn([])[0]?.verdict).toBe("warn");
  });

  it("addresses of this machine", () => {
    expect(judged(mdns(gathered([host("ab-cd.local")])))).toContain("pass: addresses are hidden");
    expect(judged(mdns(gathered([host("192.168.1.5")])))).toContain("pass: addresses are told");
    expect(mdns(gathered([])).verdict).toBe("warn");
    expect(ipv6(gathered([host("2001:db8::5")])).verdict).toBe("pass");
    expect(ipv6(gathered([host("ab-cd.local")])).verdict).toBe("skip");
    expect(ipv6(gathered([srflx(1)])).verdict).toBe("warn");
  });
});
