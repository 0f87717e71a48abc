/**
 * A viewer's side of a WebRTC call with a thing. Signaling goes through the hub; picture, sound and data channels
 * take the best path that ICE finds. A call that breaks is first mended by an ICE restart, then opened anew, with
 * growing waits, until `close()`.
 */

import { Backoff } from "./backoff.ts";
import { mediaOf } from "./description.ts";
import { asPlaitError, type PlaitError } from "./errors.ts";
import type { Home } from "./home.ts";
import { Leg } from "./leg.ts";
import { type MediaFigures, mediaOfStats, type Path, pathOf, type Reports } from "./path.ts";
import { Pictures } from "./pictures.ts";
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

/** Milliseconds that video has to come before pictures are asked for: most paths open within them. */
const HEAD_START = 700;
/** Milliseconds between two looks whether video has come meanwhile. */
const LOOK_EVERY = 250;

/** Trying again cannot help. */
const FINAL = new Set(["unauthorized", "forbidden", "unknown-thing", "unknown-operation"]);

export class Call {
  readonly state = new Watched<CallState>({ phase: "opening" });
  /** Whether media comes; false from about a second after the last packet, long before the browser gives the path up. */
  readonly flowing = new Watched(false);
  /** The far end's tracks; the object stays the same when the call is renewed. */
  readonly stream: MediaStream;
  /** Data channels of the current connection, by label. */
  readonly channels = new Watched<ReadonlyMap<string, RTCDataChannel>>(new Map());

  /** Still pictures through the hub, while no video comes. */
  readonly pictures: Pictures;

  readonly #home: Home;
  readonly #thing: Thing;
  readonly #options: CallOptions;
  readonly #backoff: Backoff;
  readonly #presence: Unsubscribe;
  #leg: Leg | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #online: boolean;
  #looking: ReturnType<typeof setTimeout> | undefined;

  constructor(home: Home, thing: Thing, options: CallOptions) {
    this.#home = home;
    this.#thing = thing;
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff();
    this.stream = new MediaStream();
    this.pictures = new Pictures(home, thing.id);
    this.#quiet(HEAD_START, 0);
    this.#online = thing.presence.value.state === "online";
    this.#open();
    this.#presence = thing.presence.subscribe(({ state }) => {
      const back = state === "online" && !this.#online;
      this.#online = state === "online";
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
      media: this.#media(),
      channels: this.#options.channels ?? {},
      RTCPeerConnection: this.#options.RTCPeerConnection ?? RTCPeerConnection,
      onTrack: (track) => this.#track(track),
      onConnected: () => {
        this.#backoff.reset();
        this.state.value = { phase: "connected" };
        this.flowing.value = true;
      },
      onQuiet: () => {
        this.flowing.value = false;
        this.#quiet(0, undefined);
      },
      onFlowing: () => {
        this.flowing.value = true;
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
    this.#quiet(0, 0);
    clearTimeout(this.#retry);
    // A thing that is away is called again when it is back.
    if (this.#online) {
      this.#retry = setTimeout(() => this.#open(), this.#backoff.next() * 1000);
    }
  }

  #media(): readonly string[] {
    return this.#options.media ?? mediaOf(this.#thing.description.value);
  }

  /** No video comes: after `head` ms ask for pictures, until more than `before` frames of it are decoded. */
  #quiet(head: number, before: number | undefined): void {
    clearTimeout(this.#looking);
    if (!this.#media().includes("video")) {
      return;
    }
    let known = before;
    const look = async (): Promise<void> => {
      const now = (await this.figures().catch(() => undefined))?.framesDecoded ?? 0;
      if (this.#looking !== timer) {
        return;
      }
      if (this.state.value.phase === "connected" && known !== undefined && now > known) {
        this.pictures.stop();
        return;
      }
      // The count of another connection begins at 0 again.
      known = Math.min(known ?? now, now);
      if (this.#online) {
        this.pictures.start();
      }
      this.#looking = timer = setTimeout(look, LOOK_EVERY);
    };
    let timer = setTimeout(look, head);
    this.#looking = timer;
  }

  #end(state: CallState): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#looking);
    this.#looking = undefined;
    this.pictures.stop();
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
