/**
 * One peer connection of a call and its signaling (`docs/protocol.md`, section 4), from the first offer to `bye`.
 * It answers offers of the device's, and tries one ICE restart before it gives up.
 */

import { asPlaitError, PlaitError } from "./errors.ts";
import type { Home } from "./home.ts";
import type { Message } from "./messages.ts";
import { IceServers, restartsIce } from "./servers.ts";
import { watchSilence } from "./silence.ts";
import { type Candidate, Trickle } from "./trickle.ts";

type Signal =
  | Candidate
  | { type: "here" }
  | { type: "offer" | "answer"; sdp: string }
  | { type: "bye"; reason?: string };

/** Milliseconds. */
const TAKE_UP_WITHIN = 30_000;
const TAKE_UP_EVERY = 500;
const DISCONNECTED_GRACE = 1_500;
const CONNECT_WITHIN = 12_000;
const RESTART_WITHIN = 5_000;
const ANSWER_WITHIN = 10_000;
const REFUSED_WAIT = 50;
/** Offers that may be refused one after another on a call that stands, before it is given up. */
const REFUSALS = 10;
/** How a device refuses an offer while its own is out, or one that it can make nothing of because of it. */
const REFUSED: ReadonlySet<string> = new Set(["action-failed", "invalid-message", "session-lost"]);

export interface LegOptions {
  readonly home: Home;
  readonly thingID: string;
  readonly call: string;
  readonly iceServers: RTCIceServer[];
  readonly media: readonly string[];
  readonly channels: Readonly<Record<string, RTCDataChannelInit>>;
  readonly RTCPeerConnection: typeof RTCPeerConnection;
  readonly onTrack: (track: MediaStreamTrack) => void;
  readonly onConnected: () => void;
  /** Nothing comes from the device any more; it is being mended. */
  readonly onQuiet: () => void;
  /** Something comes again. */
  readonly onFlowing: () => void;
  /** At most once. */
  readonly onBroken: (error: PlaitError) => void;
}

export class Leg {
  readonly peer: RTCPeerConnection;
  readonly channels: ReadonlyMap<string, RTCDataChannel>;
  readonly #options: LegOptions;
  readonly #unroute: () => void;
  readonly #servers: IceServers;
  readonly #trickle: Trickle;
  #over = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #restarted = false;
  /** Something is to be offered, and something is being offered. */
  #stale = false;
  #offering = false;
  #turn: Promise<void> = Promise.resolve();
  /** Settles when the hub carries our signals. */
  #carried: Promise<void> = Promise.resolve();

  constructor(options: LegOptions) {
    this.#options = options;
    this.#servers = new IceServers(options.home, options.call, options.iceServers);
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
    this.#trickle = new Trickle(peer, (candidate) => this.#notify(candidate));
    peer.onconnectionstatechange = () => this.#changed();
    const off = [
      options.home.routes.on(options.call, (message) => this.#signaled(message)),
      options.home.sessionLost.on(() => {
        this.#trickle.hold();
        this.#carried = this.#takeUp().catch((error: unknown) => this.#break(asPlaitError(error)));
      }),
      watchSilence(peer, { silent: () => this.#silent(), flowing: () => this.#flowing() }),
    ];
    this.#unroute = () => {
      for (const end of off) {
        end();
      }
    };
  }

  async start(): Promise<void> {
    this.#within(CONNECT_WITHIN, "No path to the device was found in time");
    await this.#offer();
    // From now on the browser says when there is something to offer: a restart, or one that had to give way.
    this.peer.onnegotiationneeded = () => this.#offerSoon();
  }

  hangUp(reason: string): void {
    if (!this.#over) {
      this.#finish();
      this.#notify({ type: "bye", reason });
    }
  }

  #offerSoon(): void {
    this.#stale = true;
    if (!this.#offering) {
      this.#offering = true;
      this.#offerAll()
        .catch((error: unknown) => this.#break(asPlaitError(error)))
        .finally(() => {
          this.#offering = false;
        });
    }
  }

  /**
   * Offer until nothing is left to offer. Where the device offers at the same moment its offer holds (W3C WebRTC, section
   * 10.7: we are the polite end): it refuses ours, which is withdrawn, and what is still needed is offered again.
   */
  async #offerAll(): Promise<void> {
    for (let refused = 0; this.#stale && !this.#over; ) {
      this.#stale = false;
      try {
        await this.#offer();
      } catch (error) {
        refused += 1;
        if (refused > REFUSALS || !REFUSED.has(asPlaitError(error).code)) {
          throw error;
        }
        await this.#withdraw();
        await new Promise((resolve) => setTimeout(resolve, REFUSED_WAIT * refused));
      }
    }
  }

  #withdraw(): Promise<void> {
    return this.#alone(async () => {
      if (!this.#over && this.peer.signalingState === "have-local-offer") {
        await this.peer.setLocalDescription({ type: "rollback" });
      }
    });
  }

  /** Do it while no other description is being applied: the signaling state is known only then. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.then(
      () => {},
      () => {},
    );
    return turn;
  }

  async #offer(): Promise<void> {
    const { peer } = this;
    const sdp = await this.#alone(async () => {
      if (this.#over || peer.signalingState !== "stable") {
        return undefined;
      }
      await peer.setLocalDescription();
      return peer.localDescription?.sdp ?? "";
    });
    if (sdp === undefined) {
      return; // the device's offer came first; what is needed after it is told again
    }
    const { home, thingID, call } = this.#options;
    await this.#carried;
    const asked = home.request(
      "signal",
      { thingID, call, data: { type: "offer", sdp } },
      { timeout: ANSWER_WITHIN },
    );
    this.#trickle.release();
    const answer = (await asked).output as RTCSessionDescriptionInit;
    await this.#alone(async () => {
      // Else the device has offered, too, and ours has given way.
      if (!this.#over && peer.signalingState === "have-local-offer") {
        await peer.setRemoteDescription(answer);
        await this.#trickle.described();
      }
    });
  }

  #signaled(message: Message): void {
    const signal = message.data as Signal;
    switch (signal.type) {
      case "candidate":
        this.#trickle.take(signal);
        break;
      case "offer":
        this.#alone(() => this.#answer(message, signal.sdp)).catch((error: unknown) =>
          this.#break(asPlaitError(error)),
        );
        break;
      case "bye":
        this.#break(new PlaitError("offline", signal.reason || "The device hung up"));
    }
  }

  /** The device offers: we are the polite side, so an offer of ours in flight is rolled back by the browser. */
  async #answer(message: Message, sdp: string): Promise<void> {
    const { peer } = this;
    if (this.#over) {
      return;
    }
    if (restartsIce(sdp, peer.remoteDescription)) {
      await this.#servers.renew(peer);
    }
    await peer.setRemoteDescription({ type: "offer", sdp });
    await this.#trickle.described();
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
        this.#options.onQuiet();
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#restart(), DISCONNECTED_GRACE);
        break;
      case "failed":
        this.#restart();
    }
  }

  /** The hub was restarted and knows the call no more; what flows between the two ends goes on meanwhile. */
  async #takeUp(): Promise<void> {
    const { home, thingID, call } = this.#options;
    const until = performance.now() + TAKE_UP_WITHIN;
    while (!this.#over) {
      try {
        const { output } = await home.request("opencall", { thingID, call });
        if ((output as { call: string }).call !== call) {
          throw new PlaitError("error", "This hub takes up no calls");
        }
        this.#notify({ type: "here" });
        if (!this.#offering) {
          this.#trickle.release();
        }
        return;
      } catch (caught) {
        const error = asPlaitError(caught);
        if (error.code === "session-lost") {
          return; // the next session takes it up
        }
        if (!error.retry || performance.now() > until) {
          throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, TAKE_UP_EVERY));
      }
    }
  }

  /** Nothing has come for a while, and the browser has not noticed yet. */
  #silent(): void {
    this.#options.onQuiet();
    this.#options.home.reconnect();
    if (!this.#restarted) {
      this.#restart();
    }
  }

  #flowing(): void {
    if (this.peer.connectionState === "connected") {
      clearTimeout(this.#timer);
      this.#restarted = false;
      this.#options.onFlowing();
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
    this.#servers.renew(this.peer).then(() => this.#over || this.peer.restartIce());
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
    this.#trickle.close();
    this.peer.onnegotiationneeded = null;
    this.peer.close();
  }

  #notify(data: Signal): void {
    const { home, thingID, call } = this.#options;
    home.notify("signal", { thingID, call, data });
  }
}
