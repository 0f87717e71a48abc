/** All examinations, at once; each finding is told as soon as it is there, in the place that it has in the report. */

import type { Watched } from "@plait/sdk";
import * as browser from "./browser.ts";
import type { Finding } from "./finding.ts";
import * as hub from "./hub.ts";
import { gather, relay } from "./probe.ts";
import * as servers from "./servers.ts";

/** The hub's answer has so long, in ms. */
const HUB_WITHIN = 6_000;

export interface Patient {
  /** The round trip of the page's WebSocket in ms; undefined while it is not connected. */
  readonly roundTrip: Watched<number | undefined>;
}

/** Groups of findings, in order; each resolves by itself, and none rejects. */
export function examine(patient: Patient): readonly Promise<readonly Finding[]>[] {
  const told = ask();
  const there = typeof RTCPeerConnection === "function";
  const all = told.then((answer) => servers.apart(answer?.iceServers ?? []));
  const relays = all.then((each) =>
    there ? Promise.all(each.filter(({ transport }) => transport !== undefined).map(relay)) : [],
  );
  const gathered = all.then((each) => (there ? gather(each) : { candidates: [], asked: [], silent: [] }));
  const secure = window.isSecureContext;
  return [
    Promise.all([told, known(patient.roundTrip)]).then(([answer, roundTrip]) => [
      hub.http(answer, location.protocol === "https:"),
      hub.webSocket(roundTrip),
      hub.clock(answer),
    ]),
    Promise.resolve([browser.secureContext(secure, location.origin), browser.webrtc(there)]),
    devices(),
    Promise.resolve(there ? [browser.codecs(receivable())] : []),
    Promise.all([gathered, relays]).then(([found, tried]) => {
      const relayed = tried.some(({ roundTrip }) => roundTrip !== undefined);
      return there
        ? [servers.udp(found, relayed), servers.nat(found, relayed), servers.ipv6(found), servers.mdns(found)]
        : [];
    }),
    relays.then((tried) => (there ? servers.turn(tried) : [])),
  ];
}

/** The value once there is one, or undefined where the hub took too long. */
function known<T>(watched: Watched<T | undefined>): Promise<T | undefined> {
  return new Promise((resolve) => {
    let end = (): void => {};
    const timer = setTimeout(() => finish(undefined), HUB_WITHIN);
    const finish = (value: T | undefined): void => {
      clearTimeout(timer);
      resolve(value);
      // `subscribe` may still be telling the first value.
      queueMicrotask(() => end());
    };
    end = watched.subscribe((value) => {
      if (value !== undefined) {
        finish(value);
      }
    });
  });
}

async function ask(): Promise<hub.Told | undefined> {
  try {
    const began = performance.now();
    const answer = await fetch("/api/doctor", { cache: "no-store", signal: AbortSignal.timeout(HUB_WITHIN) });
    const said = (await answer.json()) as { time: string; iceServers: RTCIceServer[] };
    const roundTrip = performance.now() - began;
    if (!answer.ok) {
      return undefined;
    }
    const [timing] = performance.getEntriesByName(answer.url).slice(-1) as PerformanceResourceTiming[];
    return {
      iceServers: said.iceServers,
      hubTime: Date.parse(said.time),
      ourTime: Date.now() - roundTrip / 2,
      roundTrip,
      protocol: timing?.nextHopProtocol ?? "",
    };
  } catch {
    return undefined;
  }
}

async function devices(): Promise<Finding[]> {
  const all = await navigator.mediaDevices?.enumerateDevices().catch(() => undefined);
  const found = (kind: MediaDeviceKind): number | undefined =>
    all?.filter((each) => each.kind === kind).length;
  const [microphone, camera] = await Promise.all([permission("microphone"), permission("camera")]);
  return [
    browser.device("microphone", microphone, found("audioinput")),
    browser.device("camera", camera, found("videoinput")),
  ];
}

async function permission(name: "microphone" | "camera"): Promise<browser.Permission> {
  try {
    return (await navigator.permissions.query({ name: name as PermissionName })).state;
  } catch {
    // Not every browser can be asked.
    return "unknown";
  }
}

function receivable(): string[] {
  return (["video", "audio"] as const).flatMap(
    (kind) => RTCRtpReceiver.getCapabilities(kind)?.codecs.map(({ mimeType }) => mimeType) ?? [],
  );
}
