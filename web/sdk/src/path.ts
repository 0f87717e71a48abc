/** Which way the bytes of a call take, and what the picture is like, read from W3C WebRTC statistics. */

export interface Path {
  readonly kind: "direct" | "relayed" | "hub";
  /** Round trip in milliseconds, where it is known yet. */
  readonly rttMs: number | undefined;
  /** One sentence for a person. */
  readonly why: string;
}

export interface MediaFigures {
  readonly width: number;
  readonly height: number;
  readonly framesPerSecond: number;
  readonly framesDecoded: number;
  readonly framesDropped: number;
  readonly packetsLost: number;
  readonly jitterMs: number;
  readonly codec: string;
  readonly bytesReceived: number;
  /** `timestamp` of the report, in ms; with `bytesReceived` of two readings it gives the bit rate. */
  readonly timestamp: number;
}

/** What `getStats()` gives, indexed by id. */
export type Reports = ReadonlyMap<string, Readonly<Record<string, unknown>>>;

const TYPES: Readonly<Record<string, string>> = {
  host: "its own address",
  srflx: "the address its router shows",
  prflx: "an address found on the way",
  relay: "a relay",
};

function selectedPair(reports: Reports): Readonly<Record<string, unknown>> | undefined {
  let fallback: Readonly<Record<string, unknown>> | undefined;
  for (const report of reports.values()) {
    if (report.type === "transport" && typeof report.selectedCandidatePairId === "string") {
      const pair = reports.get(report.selectedCandidatePairId);
      if (pair !== undefined) {
        return pair;
      }
    }
    if (report.type === "candidate-pair" && report.nominated === true && report.state === "succeeded") {
      fallback = report;
    }
  }
  return fallback;
}

/** Return the path of the selected candidate pair; undefined while there is none. */
export function pathOf(reports: Reports): Path | undefined {
  const pair = selectedPair(reports);
  if (pair === undefined) {
    return undefined;
  }
  const local = reports.get(String(pair.localCandidateId)) ?? {};
  const remote = reports.get(String(pair.remoteCandidateId)) ?? {};
  const rtt = pair.currentRoundTripTime;
  const rttMs = typeof rtt === "number" ? rtt * 1000 : undefined;
  const ours = String(local.candidateType ?? "host");
  const theirs = String(remote.candidateType ?? "host");
  const protocol = String(local.relayProtocol ?? local.protocol ?? "udp").toUpperCase();
  if (ours === "relay" || theirs === "relay") {
    const side = ours === "relay" ? "this browser's" : "the device's";
    return {
      kind: "relayed",
      rttMs,
      why: `No direct path was found; goes by ${side} relay over ${protocol}`,
    };
  }
  const why =
    ours === "host" && theirs === "host"
      ? `Straight to the device on the same network, over ${protocol}`
      : `Straight to the device over ${protocol}: ours by ${TYPES[ours] ?? ours}, its by ${TYPES[theirs] ?? theirs}`;
  return { kind: "direct", rttMs, why };
}

function number(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

/** Return the figures of the received video; undefined before the first packet. */
export function mediaOfStats(reports: Reports): MediaFigures | undefined {
  for (const report of reports.values()) {
    if (report.type === "inbound-rtp" && report.kind === "video") {
      const mime = reports.get(String(report.codecId))?.mimeType;
      return {
        width: number(report.frameWidth),
        height: number(report.frameHeight),
        framesPerSecond: number(report.framesPerSecond),
        framesDecoded: number(report.framesDecoded),
        framesDropped: number(report.framesDropped),
        packetsLost: number(report.packetsLost),
        jitterMs: number(report.jitter) * 1000,
        codec: typeof mime === "string" ? (mime.split("/")[1] ?? mime) : "",
        bytesReceived: number(report.bytesReceived),
        timestamp: number(report.timestamp),
      };
    }
  }
  return undefined;
}
