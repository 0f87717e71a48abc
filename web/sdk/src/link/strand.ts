/** What is known of one path of a link: whether it is there, and how it answers probes. Times are in ms. */

import { type PathName, type PathState, SILENT } from "./better.ts";
import type { Lane } from "./core/schedule.ts";

/** Probes of which a path's loss is reckoned. */
const PROBES = 20;
/** A probe is taken for lost after this. */
const GIVEN_UP_AFTER = 2_000;

/** What carries packets on one path. */
export interface Carrier {
  readonly lanes: readonly Lane[];
  /** A TURN server is between. */
  readonly relayed?: boolean;
  /** Whether it takes a packet now. */
  room(lane: Lane): boolean;
  /** Give it a packet. Throws where it is closed; the packet is lost then. */
  send(lane: Lane, packet: Uint8Array): void;
}

export class Strand {
  readonly name: PathName;
  carrier: Carrier | undefined;
  /** How often it broke or fell silent while it carried the link. */
  failures = 0;
  rtt: number | undefined;
  /** When something last came on it. */
  heard = Number.NEGATIVE_INFINITY;
  /** When it was last probed. */
  probed = Number.NEGATIVE_INFINITY;
  #goodSince = 0;
  /** Tokens of probes that are not answered, and when they went. */
  readonly #waiting = new Map<bigint, number>();
  #answers: boolean[] = [];

  constructor(name: PathName) {
    this.name = name;
  }

  get waits(): boolean {
    return this.#waiting.size > 0;
  }

  open(carrier: Carrier, now: number): void {
    this.carrier = carrier;
    this.rtt = undefined;
    this.probed = Number.NEGATIVE_INFINITY;
    this.#goodSince = now;
    this.#waiting.clear();
    this.#answers = [];
  }

  probe(token: bigint, now: number): void {
    this.probed = now;
    this.#waiting.set(token, now);
  }

  answered(token: bigint, now: number): void {
    const sent = this.#waiting.get(token);
    if (sent === undefined) {
      return;
    }
    this.#waiting.delete(token);
    const took = now - sent;
    this.rtt = this.rtt === undefined ? took : 0.8 * this.rtt + 0.2 * took;
    this.#answers.push(true);
    for (const [older, at] of this.#waiting) {
      if (at < sent) {
        this.#waiting.delete(older);
        this.#answers.push(false);
      }
    }
    this.#answers = this.#answers.slice(-PROBES);
  }

  /**
   * Whether it is open, has answered, and has not just fallen silent. Its probes go in order behind what is sent again, so
   * that where much is lost they are late: whatever else has come says as well that it lives.
   */
  answersNow(now: number): boolean {
    const since = Math.max(this.heard, Math.min(now, ...this.#waiting.values()));
    return this.carrier !== undefined && this.rtt !== undefined && now - since <= SILENT;
  }

  /** Return what is known now; a path that has not answered for too long begins anew to be good. */
  judge(now: number): PathState {
    const silent = now - Math.min(now, ...this.#waiting.values());
    if (silent > GIVEN_UP_AFTER) {
      this.#goodSince = now;
    }
    const lost = this.#answers.filter((answered) => !answered).length;
    return {
      name: this.name,
      open: this.carrier !== undefined,
      rtt: this.rtt,
      loss: this.#answers.length >= PROBES / 2 ? lost / this.#answers.length : 0,
      silent,
      goodFor: now - this.#goodSince,
      failures: this.failures,
      relayed: this.carrier?.relayed ?? false,
    };
  }
}
