import { describe, expect, it } from "vitest";
import { mediaOfStats, pathOf, type Reports } from "../src/path.ts";

function reports(local: object, remote: object, pair: object = {}): Reports {
  return new Map<string, Record<string, unknown>>([
    ["T", { type: "transport", selectedCandidatePairId: "P" }],
    ["other", { type: "candidate-pair", nominated: true, state: "succeeded", localCandidateId: "R" }],
    [
      "P",
      {
        type: "candidate-pair",
        currentRoundTripTime: 0.003,
        localCandidateId: "L",
        remoteCandidateId: "R",
        ...pair,
      },
    ],
    ["L", { type: "local-candidate", protocol: "udp", ...local }],
    ["R", { type: "remote-candidate", ...remote }],
  ]);
}

describe("the path of a call", () => {
  it.each([
    ["host", "host", "direct", "same network"],
    ["srflx", "host", "direct", "the address its router shows"],
    ["prflx", "prflx", "direct", "found on the way"],
    ["relay", "host", "relayed", "this browser's relay"],
    ["host", "relay", "relayed", "the device's relay"],
  ])("%s to %s is %s", (ours, theirs, kind, words) => {
    const path = pathOf(reports({ candidateType: ours }, { candidateType: theirs }));
    expect(path).toMatchObject({ kind, rttMs: 3 });
    expect(path?.why).toContain(words);
  });

  it("names the relay's own protocol", () => {
    const path = pathOf(reports({ candidateType: "relay", relayProtocol: "tls" }, { candidateType: "host" }));
    expect(path?.why).toContain("TLS");
  });

  it("is not known before a pair is selected, and its round trip not before it is measured", () => {
    expect(pathOf(new Map())).toBeUndefined();
    const unmeasured = reports({ candidateType: "host" }, {}, { currentRoundTripTime: undefined });
    expect(pathOf(unmeasured)?.rttMs).toBeUndefined();
  });
});

describe("the figures of a picture", () => {
  it("are those of the video that comes in", () => {
    const stats: Reports = new Map<string, Record<string, unknown>>([
      ["A", { type: "inbound-rtp", kind: "audio", bytesReceived: 5 }],
      [
        "V",
        {
          type: "inbound-rtp",
          kind: "video",
          frameWidth: 1280,
          frameHeight: 720,
          jitter: 0.004,
          codecId: "C",
        },
      ],
      ["C", { type: "codec", mimeType: "video/H264" }],
    ]);
    expect(mediaOfStats(stats)).toMatchObject({
      width: 1280,
      height: 720,
      jitterMs: 4,
      codec: "H264",
      packetsLost: 0,
    });
    expect(mediaOfStats(new Map())).toBeUndefined();
  });
});
