/** Fresh STUN and TURN servers: when they are asked for, and that nothing fails where there are none. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Home } from "../src/home.ts";
import { IceServers, restartsIce } from "../src/servers.ts";

const OLD: RTCIceServer[] = [{ urls: "turn:hub", username: "old", credential: "x" }];
const NEW: RTCIceServer[] = [{ urls: "turn:hub", username: "new", credential: "y" }];

class Peer {
  signalingState = "stable";
  configuration: RTCConfiguration = { iceServers: OLD, bundlePolicy: "max-bundle" };
  getConfiguration = () => this.configuration;
  setConfiguration = (configuration: RTCConfiguration) => {
    this.configuration = configuration;
  };
}

function servers(answer: () => Promise<object>, known = OLD) {
  const request = vi.fn(answer);
  return { request, servers: new IceServers({ request } as unknown as Home, "c-1", known) };
}

describe("servers", () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ["performance"] }));
  afterEach(() => vi.useRealTimers());

  it("that are young are not asked for again", async () => {
    const { request, servers: held } = servers(async () => ({ output: { iceServers: NEW } }));
    const peer = new Peer();
    vi.advanceTimersByTime(59_000);
    await held.renew(peer as unknown as RTCPeerConnection);
    expect(request).not.toHaveBeenCalled();
    expect(peer.configuration.iceServers).toBe(OLD);
  });

  it("that are old are, and the connection has the fresh ones, and all else as it was", async () => {
    const { request, servers: held } = servers(async () => ({ output: { iceServers: NEW } }));
    const peer = new Peer();
    vi.advanceTimersByTime(61_000);
    await held.renew(peer as unknown as RTCPeerConnection);
    expect(request).toHaveBeenCalledWith("iceservers", { call: "c-1" }, { timeout: 1_500 });
    expect(peer.configuration).toEqual({ iceServers: NEW, bundlePolicy: "max-bundle" });
    await held.renew(peer as unknown as RTCPeerConnection);
    expect(request).toHaveBeenCalledTimes(1);
  });

  it("stay where the hub is away, and where the connection was closed meanwhile", async () => {
    const away = servers(() => Promise.reject(new Error("away")));
    vi.advanceTimersByTime(61_000);
    expect(await away.servers.renewed()).toBe(OLD);
    const { servers: held } = servers(async () => ({ output: { iceServers: NEW } }));
    const peer = new Peer();
    peer.signalingState = "closed";
    vi.advanceTimersByTime(61_000);
    await held.renew(peer as unknown as RTCPeerConnection);
    expect(peer.configuration.iceServers).toBe(OLD);
  });

  it("of a hub that gave none are never asked for", async () => {
    const { request, servers: held } = servers(async () => ({ output: { iceServers: NEW } }), []);
    vi.advanceTimersByTime(61_000);
    expect(await held.renewed()).toEqual([]);
    expect(request).not.toHaveBeenCalled();
  });
});

it("an offer restarts ICE where its user name is another one", () => {
  const described = (name: string) => ({ sdp: `v=0\r\na=ice-ufrag:${name}\r\n` }) as RTCSessionDescription;
  expect(restartsIce(described("b").sdp, described("a"))).toBe(true);
  expect(restartsIce(described("a").sdp, described("a"))).toBe(false);
  expect(restartsIce(described("a").sdp, null)).toBe(false);
});
