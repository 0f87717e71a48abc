/**
 * A viewer's side of a WebRTC call with a thing. Signaling goes through the hub; picture, sound and data channels
 * take the best path that ICE finds. A call that breaks is first mended by an ICE restart, then opened anew, with
 * growing waits, until `close()`.
 */

import { Backoff } from "./backoff.ts";
import { mediaOf } from "./description.ts";
import { PlaitError } from "./errors.ts";
import type { Home } from "./home.ts";
import type { Message } from "./messages.ts";
import { type MediaFigures, mediaOfStats, type Path, pathOf, type Reports } from "./path.ts";
import type { Thing } from "./thing.ts";
import { type Unsubscribe, Watched } from "./watched.ts";

export interface CallState {
  /**
   * opening: asks the hub and the thing · connecting: looks for a path · connected ·
   * broken: will be tried again by itself (see `error`) · closed: `close()` was called, or trying cannot help.
   */
  readonly phase: "opening" | "connecting" | "connected" | "broken" | "closed";
  readonly error?: PlaitError;
}

export interface CallOptions {
  /** Which media to ask for; by default what the thing's description offers. */
  readonly media?: readonly string[];
  /** Data channels to open with the call, by label. */
  readonly channels?: Readonly<Record<string, RTCDataChannelInit>>;
  readonly RTCPeerConnection?: typeof RTCPeerConnection;
  readonly backoff?: Backoff;
}

type Candidate = {
  type: "candidate";
  candidate: string;
  sdpMid?: string | null;
  sdpMLineIndex?: number | null;
};
type Signal = Candidate | { type: "offer" | "answer"; sdp: string } | { type: "bye"; reason?: string };

/** Milliseconds. */
const DISCONNECTED_GRACE = 1_500;
const CONNECT_WITHIN = 12_000;
const RESTART_WITHIN = 5_000;
const ANSWER_WITHIN = 10_000;

/** Trying again cannot help. */
const FINAL = new Set(["unauthorized", "forbidden", "unknown-thing", "unknown-operation"]);

export class Call {
  readonly state = new Watched<CallState>({ phase: "opening" });
  /** The far end's tracks; the object stays the same when the call is renewed. */
  readonly stream: MediaStream;
  /** Data channels of the current connection, by label. */
  readonly channels = new Watched<ReadonlyMap<string, RTCDataChannel>>(new Map());

  readonly #home: Home;
  readonly #thing: Thing;
  readonly #options: CallOptions;
  readonly #backoff: Backoff;
  readonly #presence: Unsubscribe;
  #leg: Leg | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #wasOnline: boolean;

  constructor(home: Home, thing: Thing, options: CallOptions) {
    this.#home = home;
    this.#thing = thing;
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff();
    this.stream = new MediaStream();
    this.#wasOnline = thing.presence.value.state === "online";
    this.#open();
    this.#presence = thing.presence.subscribe(({ state }) => {
      const back = state === "online" && !this.#wasOnline;
      this.#wasOnline = state === "online";
      if (back && this.state.value.phase === "broken") {
        this.retry();
      }
    });
  }

  /** The path in use; undefined while there is none. */
  async path(): Promise<Path | undefined> {
    return pathOf(await this.reports());
  }

  /** Figures of the picture; undefined before it came. */
  async figures(): Promise<MediaFigures | undefined> {
    return mediaOfStats(await this.reports());
  }

  /** W3C statistics of the current connection; empty while there is none. */
  async reports(): Promise<Reports> {
    const reports = await this.#leg?.peer.getStats();
    return (reports as unknown as Reports | undefined) ?? new Map();
  }

  /** Try now instead of waiting. */
  retry(): void {
    if (this.state.value.phase !== "closed") {
      this.#backoff.reset();
      this.#open();
    }
  }

  close(): void {
    if (this.state.value.phase !== "closed") {
      this.#end({ phase: "closed" });
    }
  }

  #open(): void {
    clearTimeout(this.#retry);
    this.#leg?.hangUp("renewed");
    this.#leg = undefined;
    this.state.value = { phase: "opening" };
    this.#connect().catch((error: unknown) => this.#failed(undefined, asPlaitError(error)));
  }

  async #connect(): Promise<void> {
    const opened = await this.#home.request("opencall", { thingID: this.#thing.id });
    if (this.state.value.phase !== "opening") {
      return;
    }
    const { call, iceServers } = opened.output as { call: string; iceServers?: RTCIceServer[] };
    const leg = new Leg({
      home: this.#home,
      thingID: this.#thing.id,
      call,
      iceServers: iceServers ?? [],
      media: this.#options.media ?? mediaOf(this.#thing.description.value),
      channels: this.#options.channels ?? {},
      RTCPeerConnection: this.#options.RTCPeerConnection ?? RTCPeerConnection,
      onTrack: (track) => this.#track(track),
      onConnected: () => {
        this.#backoff.reset();
        this.state.value = { phase: "connected" };
      },
      onBroken: (error) => this.#failed(leg, error),
    });
    this.#leg = leg;
    this.channels.value = leg.channels;
    this.state.value = { phase: "connecting" };
    await leg.start().catch((error: unknown) => this.#failed(leg, asPlaitError(error)));
  }

  #track(track: MediaStreamTrack): void {
    for (const old of this.stream.getTracks()) {
      if (old.kind === track.kind) {
        this.stream.removeTrack(old);
      }
    }
    this.stream.addTrack(track);
  }

  #failed(leg: Leg | undefined, error: PlaitError): void {
    if (this.state.value.phase === "closed" || leg !== this.#leg) {
      return;
    }
    if (FINAL.has(error.code)) {
      this.#end({ phase: "closed", error });
      return;
    }
    leg?.hangUp(error.message);
    this.#leg = undefined;
    this.state.value = { phase: "broken", error };
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#open(), this.#backoff.next() * 1000);
  }

  #end(state: CallState): void {
    clearTimeout(this.#retry);
    // The constructor may still be running.
    queueMicrotask(() => this.#presence());
    this.#leg?.hangUp("the viewer left");
    this.#leg = undefined;
    this.channels.value = new Map();
    for (const track of this.stream.getTracks()) {
      this.stream.removeTrack(track);
    }
    this.state.value = state;
  }
}

interface LegOptions {
  readonly home: Home;
  readonly thingID: string;
  readonly call: string;
  readonly iceServers: RTCIceServer[];
  readonly media: readonly string[];
  readonly channels: Readonly<Record<string, RTCDataChannelInit>>;
  readonly RTCPeerConnection: typeof RTCPeerConnection;
  readonly onTrack: (track: MediaStreamTrack) => void;
  readonly onConnected: () => void;
  /** At most once. */
  readonly onBroken: (error: PlaitError) => void;
}

/** One peer connection and its signaling, from `opencall` to `bye`. */
class Leg {
  readonly peer: RTCPeerConnection;
  readonly channels: ReadonlyMap<string, RTCDataChannel>;
  readonly #options: LegOptions;
  readonly #unroute: () => void;
  #over = false;
  /** Our candidates, until the offer that they belong to is on its way. */
  #ours: Candidate[] | undefined = [];
  /** Theirs, until their description is applied. */
  #theirs: RTCIceCandidateInit[] | undefined = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #restarted = false;

  constructor(options: LegOptions) {
    this.#options = options;
    const peer = new options.RTCPeerConnection({
      iceServers: options.iceServers,
      bundlePolicy: "max-bundle",
    });
    this.peer = peer;
    for (const kind of ["video", "audio"] as const) {
      if (options.media.includes(kind)) {
        peer.addTransceiver(kind, { direction: "recvonly" });
      }
    }
    this.channels = new Map(
      Object.entries(options.channels).map(([label, init]) => [label, peer.createDataChannel(label, init)]),
    );
    peer.ontrack = ({ track }) => options.onTrack(track);
    peer.onicecandidate = ({ candidate }) => this.#found(candidate);
    peer.onconnectionstatechange = () => this.#changed();
    this.#unroute = options.home.signals(options.call, (message) => this.#signaled(message));
  }

  async start(): Promise<void> {
    this.#within(CONNECT_WITHIN, "No path to the device was found in time");
    await this.#offer();
  }

  hangUp(reason: string): void {
    if (!this.#over) {
      this.#finish();
      this.#notify({ type: "bye", reason });
    }
  }

  async #offer(): Promise<void> {
    const { peer } = this;
    await peer.setLocalDescription();
    const { home, thingID, call } = this.#options;
    const sdp = peer.localDescription?.sdp ?? "";
    const asked = home.request(
      "signal",
      { thingID, call, data: { type: "offer", sdp } },
      { timeout: ANSWER_WITHIN },
    );
    const waiting = this.#ours ?? [];
    this.#ours = undefined;
    for (const candidate of waiting) {
      this.#notify(candidate);
    }
    const answer = (await asked).output as RTCSessionDescriptionInit;
    if (!this.#over) {
      await peer.setRemoteDescription(answer);
      await this.#applyTheirs();
    }
  }

  #found(candidate: RTCIceCandidate | null): void {
    if (candidate?.candidate === "") {
      // The end of one generation: the null that follows says the same.
      return;
    }
    const signal: Candidate =
      candidate === null
        ? { type: "candidate", candidate: "" }
        : {
            type: "candidate",
            candidate: candidate.candidate,
            sdpMid: candidate.sdpMid,
            sdpMLineIndex: candidate.sdpMLineIndex,
          };
    if (this.#ours === undefined) {
      this.#notify(signal);
    } else {
      this.#ours.push(signal);
    }
  }

  #signaled(message: Message): void {
    const signal = message.data as Signal;
    switch (signal.type) {
      case "candidate":
        this.#take(signal);
        break;
      case "offer":
        this.#answer(message, signal.sdp).catch((error: unknown) => this.#break(asPlaitError(error)));
        break;
      case "bye":
        this.#break(new PlaitError("offline", signal.reason || "The device hung up"));
    }
  }

  #take({ candidate, sdpMid, sdpMLineIndex }: Candidate): void {
    if (candidate === "") {
      return;
    }
    const init: RTCIceCandidateInit = {
      candidate,
      sdpMid: sdpMid ?? null,
      sdpMLineIndex: sdpMLineIndex ?? null,
    };
    if (sdpMid == null && sdpMLineIndex == null) {
      init.sdpMLineIndex = 0;
    }
    if (this.#theirs === undefined) {
      // One candidate that this browser cannot use must not end the call: others may do.
      this.peer.addIceCandidate(init).catch(() => {});
    } else {
      this.#theirs.push(init);
    }
  }

  async #applyTheirs(): Promise<void> {
    const waiting = this.#theirs ?? [];
    this.#theirs = undefined;
    await Promise.allSettled(waiting.map((candidate) => this.peer.addIceCandidate(candidate)));
  }

  /** The device offers: we are the polite side, so an offer of ours in flight is rolled back by the browser. */
  async #answer(message: Message, sdp: string): Promise<void> {
    const { peer } = this;
    await peer.setRemoteDescription({ type: "offer", sdp });
    await this.#applyTheirs();
    await peer.setLocalDescription();
    const output = { type: "answer", sdp: peer.localDescription?.sdp ?? "" };
    this.#options.home.respond(message, { output });
  }

  #changed(): void {
    switch (this.peer.connectionState) {
      case "connected":
        clearTimeout(this.#timer);
        this.#restarted = false;
        this.#options.onConnected();
        break;
      case "disconnected":
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#restart(), DISCONNECTED_GRACE);
        break;
      case "failed":
        this.#restart();
    }
  }

  /** Look for another path with the same call; where that fails too, the call is opened anew. */
  #restart(): void {
    if (this.#over) {
      return;
    }
    if (this.#restarted) {
      this.#break(new PlaitError("offline", "The path to the device was lost"));
      return;
    }
    this.#restarted = true;
    this.#within(RESTART_WITHIN, "The path to the device was lost");
    this.peer.restartIce();
    this.#offer().catch((error: unknown) => this.#break(asPlaitError(error)));
  }

  #within(milliseconds: number, detail: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#break(new PlaitError("timeout", detail)), milliseconds);
  }

  #break(error: PlaitError): void {
    if (!this.#over) {
      this.#finish();
      this.#options.onBroken(error);
    }
  }

  #finish(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#unroute();
    this.peer.onconnectionstatechange = null;
    this.peer.onicecandidate = null;
    this.peer.close();
  }

  #notify(data: Signal): void {
    const { home, thingID, call } = this.#options;
    home.notify("signal", { thingID, call, data });
  }
}

function asPlaitError(error: unknown): PlaitError {
  return error instanceof PlaitError ? error : new PlaitError("error", (error as Error).message);
}
