/** Candidates of one peer connection, both ways (RFC 8838): each told when it means something at the other end. */

/** A candidate as it travels; the empty one ends a generation. */
export interface Candidate {
  readonly type: "candidate";
  readonly candidate: string;
  readonly sdpMid?: string | null;
  readonly sdpMLineIndex?: number | null;
}

export class Trickle {
  readonly #peer: RTCPeerConnection;
  readonly #tell: (candidate: Candidate) => void;
  /** Ours, until the offer that they belong to is on its way, or while the hub does not know the call. */
  #ours: Candidate[] | undefined = [];
  /** Theirs, until their description is applied. */
  #theirs: RTCIceCandidateInit[] | undefined = [];

  constructor(peer: RTCPeerConnection, tell: (candidate: Candidate) => void) {
    this.#peer = peer;
    this.#tell = tell;
    peer.onicecandidate = ({ candidate }) => this.#found(candidate);
  }

  /** Keep ours back from now on. */
  hold(): void {
    this.#ours ??= [];
  }

  /** Tell ours, and from now on at once. */
  release(): void {
    const waiting = this.#ours ?? [];
    this.#ours = undefined;
    for (const candidate of waiting) {
      this.#tell(candidate);
    }
  }

  /** Take one of theirs. */
  take({ candidate, sdpMid, sdpMLineIndex }: Candidate): void {
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
      this.#peer.addIceCandidate(init).catch(() => {});
    } else {
      this.#theirs.push(init);
    }
  }

  /** Their description is applied: so are those of theirs that waited for it, and each from now on as it comes. */
  async described(): Promise<void> {
    const waiting = this.#theirs ?? [];
    this.#theirs = undefined;
    await Promise.allSettled(waiting.map((candidate) => this.#peer.addIceCandidate(candidate)));
  }

  close(): void {
    this.#peer.onicecandidate = null;
  }

  #found(candidate: RTCIceCandidate | null): void {
    if (candidate?.candidate === "") {
      // The end of one generation: the null that follows says the same.
      return;
    }
    const found: Candidate =
      candidate === null
        ? { type: "candidate", candidate: "" }
        : {
            type: "candidate",
            candidate: candidate.candidate,
            sdpMid: candidate.sdpMid,
            sdpMLineIndex: candidate.sdpMLineIndex,
          };
    if (this.#ours === undefined) {
      this.#tell(found);
    } else {
      this.#ours.push(found);
    }
  }
}
