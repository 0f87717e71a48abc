/** That a picture which stops is noticed, once, and its return too. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { watchSilence } from "../src/silence.ts";

describe("silence", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function stage() {
    const told: string[] = [];
    let packets = 0;
    const peer = {
      getStats: async () => new Map([["in", { type: "inbound-rtp", packetsReceived: packets }]]),
    } as unknown as RTCPeerConnection;
    const stop = watchSilence(peer, {
      silent: () => told.push("silent"),
      flowing: () => told.push("flowing"),
    });
    const pass = async (seconds: number, more: number): Promise<void> => {
      for (let half = 0; half < seconds * 2; half += 1) {
        packets += more;
        await vi.advanceTimersByTimeAsync(500);
      }
    };
    return { told, pass, stop };
  }

  it("is told once, and its end", async () => {
    const { told, pass, stop } = stage();
    await pass(3, 0);
    expect(told).toEqual([]);
    await pass(3, 10);
    // Something each half second is usual: a second without is no silence yet.
    await pass(1, 0);
    expect(told).toEqual([]);
    await pass(5, 0);
    expect(told).toEqual(["silent"]);
    await pass(1, 10);
    expect(told).toEqual(["silent", "flowing"]);
    stop();
    await pass(5, 0);
    expect(told).toEqual(["silent", "flowing"]);
  });
});
