/** The way to the hub. Verdicts only. */

import { formatRtt } from "../model/format.ts";
import { type Finding, failed, passed, skipped, warned } from "./finding.ts";

/** By how much a clock may differ from the hub's, in ms, as in src/plait/thing/clock.py. */
const TOLERATED = 2_000;
const GRAVE = 60_000;

/** What `GET /api/doctor` told, and when. */
export interface Told {
  readonly iceServers: readonly RTCIceServer[];
  /** The hub's time at the middle of the request, in ms since 1970. */
  readonly hubTime: number;
  readonly ourTime: number;
  /** Of the request, in ms. */
  readonly roundTrip: number;
  /** "h2", "http/1.1"; empty where the browser does not say. */
  readonly protocol: string;
}

export function http(told: Told | undefined, secure: boolean): Finding {
  const name = secure ? "Hub by TLS" : "Hub by TCP";
  return told === undefined
    ? failed(name, "the hub did not answer", "See whether it runs, and whether this device is online.")
    : passed(name, `answers in ${formatRtt(told.roundTrip)}${told.protocol ? ` by ${told.protocol}` : ""}`);
}

/** `roundTrip` in ms; undefined while there is no connection. */
export function webSocket(roundTrip: number | undefined): Finding {
  return roundTrip === undefined
    ? failed(
        "WebSocket",
        "not connected",
        "A proxy between may not let WebSockets through: have it pass on Upgrade, or go around it.",
      )
    : passed("WebSocket", `${formatRtt(roundTrip)} there and back`);
}

export function clock(told: Told | undefined): Finding {
  if (told === undefined) {
    return skipped("Clock", "the hub did not tell the time");
  }
  const ahead = told.ourTime - told.hubTime;
  const off = Math.abs(ahead);
  if (off <= TOLERATED + told.roundTrip / 2) {
    return passed("Clock", `within ${(Math.max(off, told.roundTrip / 2) / 1000).toFixed(1)} s of the hub's`);
  }
  const said = `${length(off)} ${ahead > 0 ? "ahead of" : "behind"} the hub's`;
  const advice = "Have this device set its clock by itself (date and time in its settings).";
  return off <= GRAVE ? warned("Clock", said, advice) : failed("Clock", said, advice);
}

function length(ms: number): string {
  const seconds = Math.round(ms / 1000);
  for (const [unit, name] of [
    [86_400, "days"],
    [3_600, "hours"],
    [60, "minutes"],
  ] as const) {
    if (seconds >= 2 * unit) {
      return `${Math.round(seconds / unit)} ${name}`;
    }
  }
  return `${seconds} s`;
}
