/**
 * The direct strand: two data channels of a peer connection, negotiated over the link itself (`docs/protocol.md`,
 * section 5). The app's end makes the connection, and another one where that has failed.
 */

import { PlaitError } from "../errors.ts";
import { pathOf, type Reports } from "../path.ts";
import type { Channel, Payload } from "./channel.ts";
import type { Lane } from "./core/schedule.ts";
import type { Link } from "./link.ts";
import type { Carrier } from "./strand.ts";

const SURE = "plait.link";
const FAST = "plait.link.fast";
/** The link's own channel, on which the two ends negotiate. */
const SIGNALS = "~signals";
/** Bytes that may wait in a data channel: what a steering command has to wait for. */
const ROOM = 128 << 10;
/** Milliseconds until another connection is tried where one has failed: at first, and at the most. */
const RETRY = { first: 1_000, most: 30_000 } as const;
/** Milliseconds that a connection has to come about; a browser may look for longer than it helps. */
const CONNECT_WITHIN = 30_000;

type Signal =
  | { readonly type: "offer" | "answer"; readonly sdp: string }
  | { readonly type: "candidate"; readonly candidate: string };

export interface DirectOptions {
  readonly iceServers: RTCIceServer[];
  /** Fresh ones, for another connection. */
  readonly renewed: () => Promise<RTCIceServer[]>;
  readonly RTCPeerConnection: typeof RTCPeerConnection;
}

/** Keeps a direct path for a link, for as long as the link lasts. */
export class Direct {
  readonly #link: Link;
  #options: DirectOptions;
  readonly #signals: Channel;
  #generation = 0;
  #connection: Connection | undefined;
  #over = false;
  #wait: number = RETRY.first;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(link: Link, options: DirectOptions) {
    this.#link = link;
    this.#options = options;
    this.#signals = link.channel(SIGNALS, { priority: 255 });
    this.#signals.onMessage = (message) => this.#heard(message);
    this.#begin();
  }

  close(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#connection?.close();
    this.#connection = undefined;
  }

  #begin(): void {
    this.#connection?.close();
    this.#generation += 1;
    const generation = this.#generation;
    this.#connection = new Connection(this.#options, {
      tell: (signal) => this.#tell(generation, signal),
      opened: (carrier) => {
        this.#wait = RETRY.first;
        this.#link.pathOpened("direct", carrier);
      },
      writable: () => this.#link.pump(),
      received: (packet) => this.#link.receive("direct", packet),
      lost: () => this.#link.pathLost("direct"),
      over: () => this.#again(),
    });
  }

  /** Try another connection after a while. */
  #again(): void {
    this.#link.pathLost("direct");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#renew(), this.#wait);
    this.#wait = Math.min(RETRY.most, this.#wait * 2);
  }

  async #renew(): Promise<void> {
    this.#options = { ...this.#options, iceServers: await this.#options.renewed() };
    if (!this.#over) {
      this.#begin();
    }
  }

  #tell(generation: number, signal: Signal): void {
    try {
      this.#signals.sendNow(JSON.stringify({ generation, ...signal }));
    } catch (error) {
      // The link is over, which ends this too, or so much waits that the path it is for is beyond help.
      if (!(error instanceof PlaitError)) {
        throw error;
      }
    }
  }

  #heard(message: Payload): void {
    const signal = readSignal(message);
    if (signal?.generation === this.#generation) {
      this.#connection?.heard(signal);
    }
  }
}

/** Return what the far end said; undefined where it is of no use. */
function readSignal(message: Payload): (Signal & { readonly generation: number }) | undefined {
  try {
    const told = JSON.parse(String(message)) as Signal & { readonly generation: number };
    const fits =
      told.type === "candidate"
        ? typeof told.candidate === "string"
        : (told.type === "offer" || told.type === "answer") && typeof told.sdp === "string";
    return fits ? told : undefined;
  } catch {
    return undefined;
  }
}

interface Owner {
  tell(signal: Signal): void;
  opened(carrier: Carrier): void;
  writable(): void;
  received(packet: Uint8Array): void;
  /** The data channels are gone. */
  lost(): void;
  /** At most once: it has failed. */
  over(): void;
}

/** One peer connection, by perfect negotiation (W3C WebRTC, section 10.7); this end is the impolite one. */
class Connection {
  readonly #peer: RTCPeerConnection;
  readonly #owner: Owner;
  readonly #timer: ReturnType<typeof setTimeout>;
  #making = false;
  #closed = false;
  /** Signals are taken one after the other. */
  #turn: Promise<void> = Promise.resolve();

  constructor({ RTCPeerConnection, iceServers }: DirectOptions, owner: Owner) {
    this.#owner = owner;
    const peer = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.#peer = peer;
    peer.onicecandidate = ({ candidate }) => {
      // The empty candidate ends a generation of ICE; the null that follows says the same.
      if (candidate?.candidate !== "") {
        owner.tell({ type: "candidate", candidate: candidate?.candidate ?? "" });
      }
    };
    peer.onnegotiationneeded = () => this.#offer();
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === "failed") {
        this.#fail();
      }
    };
    this.#timer = setTimeout(() => this.#fail(), CONNECT_WITHIN);
    this.#carry(
      peer.createDataChannel(SURE),
      peer.createDataChannel(FAST, { ordered: false, maxRetransmits: 0 }),
    );
  }

  close(): void {
    if (!this.#closed) {
      this.#closed = true;
      clearTimeout(this.#timer);
      this.#peer.close();
    }
  }

  heard(signal: Signal): void {
    this.#turn = this.#turn.then(async () => {
      try {
        await this.#take(signal);
      } catch {
        // A signal that this browser cannot use: others may do, and where none does, the connection fails by time.
      }
    });
  }

  #fail(): void {
    if (!this.#closed) {
      this.close();
      this.#owner.over();
    }
  }

  #carry(sure: RTCDataChannel, fast: RTCDataChannel): void {
    const channels = [sure, fast];
    for (const channel of channels) {
      channel.binaryType = "arraybuffer";
      channel.bufferedAmountLowThreshold = ROOM / 2;
      channel.onmessage = ({ data }: MessageEvent<unknown>) =>
        this.#owner.received(data instanceof ArrayBuffer ? new Uint8Array(data) : Uint8Array.of(0xff));
      channel.onbufferedamountlow = () => this.#owner.writable();
      channel.onclose = () => {
        this.#owner.lost();
        this.#fail();
      };
      channel.onopen = async () => {
        if (channels.every(({ readyState }) => readyState === "open")) {
          clearTimeout(this.#timer);
          const path = pathOf((await this.#peer.getStats()) as unknown as Reports);
          if (!this.#closed) {
            this.#owner.opened(new DataChannels(sure, fast, path?.kind === "relayed"));
          }
        }
      };
    }
  }

  async #offer(): Promise<void> {
    this.#making = true;
    try {
      await this.#peer.setLocalDescription();
      this.#owner.tell({ type: "offer", sdp: this.#peer.localDescription?.sdp ?? "" });
    } catch {
      // Closed meanwhile, or the far end's offer came first: what is still needed is asked for again.
    } finally {
      this.#making = false;
    }
  }

  async #take(signal: Signal): Promise<void> {
    const peer = this.#peer;
    if (signal.type === "candidate") {
      if (signal.candidate !== "") {
        await peer.addIceCandidate({ candidate: signal.candidate, sdpMLineIndex: 0 });
      }
    } else if (signal.type === "answer") {
      await peer.setRemoteDescription(signal);
    } else if (!this.#making && peer.signalingState === "stable") {
      await peer.setRemoteDescription(signal);
      await peer.setLocalDescription();
      this.#owner.tell({ type: "answer", sdp: peer.localDescription?.sdp ?? "" });
    }
  }
}

class DataChannels implements Carrier {
  readonly lanes: readonly Lane[] = ["fast", "sure"];
  readonly relayed: boolean;
  readonly #sure: RTCDataChannel;
  readonly #fast: RTCDataChannel;

  constructor(sure: RTCDataChannel, fast: RTCDataChannel, relayed: boolean) {
    this.#sure = sure;
    this.#fast = fast;
    this.relayed = relayed;
  }

  room(lane: Lane): boolean {
    return this.#of(lane).bufferedAmount < ROOM;
  }

  send(lane: Lane, packet: Uint8Array): void {
    this.#of(lane).send(packet as Uint8Array<ArrayBuffer>);
  }

  #of(lane: Lane): RTCDataChannel {
    return lane === "fast" ? this.#fast : this.#sure;
  }
}
