/**
 * STUN and TURN servers of a call or a link. Their credentials make no new relays after some minutes, so who looks for
 * another path later asks the hub for fresh ones first (`docs/protocol.md`, "ICE servers").
 */

import type { Home } from "./home.ts";

/** Milliseconds. */
const FRESH_FOR = 60_000;
const ASK_WITHIN = 1_500;

export class IceServers {
  readonly #home: Home;
  readonly #call: string;
  #known: RTCIceServer[];
  #since = performance.now();

  /** `call`: the id of the call or link; `known`: the servers that came with it. */
  constructor(home: Home, call: string, known: RTCIceServer[]) {
    this.#home = home;
    this.#call = call;
    this.#known = known;
  }

  /** The servers, asked for anew where they are older than a minute. Never rejects: the old ones may do. */
  async renewed(): Promise<RTCIceServer[]> {
    if (this.#known.length > 0 && performance.now() - this.#since > FRESH_FOR) {
      try {
        const { output } = await this.#home.request(
          "iceservers",
          { call: this.#call },
          { timeout: ASK_WITHIN },
        );
        this.#known = (output as { iceServers: RTCIceServer[] }).iceServers;
        this.#since = performance.now();
      } catch {
        // The hub is away, or knows the call no more.
      }
    }
    return this.#known;
  }

  /** Have a connection look for its next paths with these servers. */
  async renew(peer: RTCPeerConnection): Promise<void> {
    const before = this.#known;
    const iceServers = await this.renewed();
    if (iceServers !== before && peer.signalingState !== "closed") {
      peer.setConfiguration({ ...peer.getConfiguration(), iceServers });
    }
  }
}

const UFRAG = /^a=ice-ufrag:(\S+)/m;

/** Whether an offer restarts ICE (RFC 8839, section 4.4.1.1.1). */
export function restartsIce(sdp: string, before: RTCSessionDescription | null): boolean {
  const known = UFRAG.exec(before?.sdp ?? "");
  return known !== null && known[1] !== UFRAG.exec(sdp)?.[1];
}
