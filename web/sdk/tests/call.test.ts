/** The order of signals and the mending of calls. That pictures really come is the browser test's to show. */

import { beforeEach, describe, expect, it } from "vitest";
import type { FakeHub } from "../../dev/fakehub.ts";
import { Backoff } from "../src/backoff.ts";
import type { Call, CallOptions, CallState } from "../src/call.ts";
import { PlaitError } from "../src/errors.ts";
import type { Message } from "../src/messages.ts";
import { lamp, open, startHub, until } from "./helpers.ts";

class FakePeer {
  static made: FakePeer[] = [];
  readonly log: string[] = [];
  connectionState = "new";
  signalingState = "stable";
  onnegotiationneeded: (() => void) | null = null;
  #needsRestart = false;
  localDescription: { type: string; sdp: string } | null = null;
  remote: { type: string; sdp: string } | null = null;
  onconnectionstatechange: (() => void) | null = null;
  onicecandidate: ((event: { candidate: object | null }) => void) | null = null;
  ontrack: ((event: { track: object }) => void) | null = null;
  readonly configuration: RTCConfiguration;

  constructor(configuration: RTCConfiguration) {
    this.configuration = configuration;
    FakePeer.made.push(this);
  }

  addTransceiver(kind: string, { direction }: { direction: string }): void {
    this.log.push(`${kind} ${direction}`);
  }

  createDataChannel(label: string, init: object): object {
    this.log.push(`channel ${label}`);
    return { label, ...init };
  }

  async setLocalDescription(description?: { type: string }): Promise<void> {
    if (description?.type === "rollback") {
      this.log.push("rollback");
      this.#become("stable");
      return;
    }
    const type = this.signalingState === "have-remote-offer" ? "answer" : "offer";
    const made = this.log.filter((entry) => entry.startsWith("local")).length + 1;
    this.localDescription = { type, sdp: `${type} ${made}` };
    this.log.push(`local ${this.localDescription.sdp}`);
    // A browser may find candidates before the description is on its way.
    this.onicecandidate?.({ candidate: { candidate: `candidate:${made}`, sdpMid: "0", sdpMLineIndex: 0 } });
    this.#become(type === "offer" ? "have-local-offer" : "stable");
  }

  async setRemoteDescription(description: { type: string; sdp: string }): Promise<void> {
    if (description.type === "answer" && this.signalingState !== "have-local-offer") {
      throw new DOMException("an answer to nothing", "InvalidStateError");
    }
    this.remote = description;
    this.log.push(`remote ${description.sdp}`);
    if (description.type === "answer") {
      this.#needsRestart = false;
    }
    // An offer takes the place of our own, if there is one.
    this.#become(description.type === "offer" ? "have-remote-offer" : "stable");
  }

  /** As W3C WebRTC has it: what is still to be offered is told whenever the state is stable. */
  #become(state: string): void {
    this.signalingState = state;
    if (state === "stable" && this.#needsRestart) {
      queueMicrotask(() => this.onnegotiationneeded?.());
    }
  }

  async addIceCandidate({ candidate }: { candidate: string }): Promise<void> {
    if (candidate === "rubbish") {
      throw new TypeError("not a candidate");
    }
    this.log.push(`add ${candidate}`);
  }

  restartIce(): void {
    this.log.push("restart");
    this.#needsRestart = true;
    if (this.signalingState === "stable") {
      queueMicrotask(() => this.onnegotiationneeded?.());
    }
  }

  async getStats(): Promise<Map<string, object>> {
    return new Map();
  }

  close(): void {
    this.log.push("close");
    this.connectionState = "closed";
  }

  become(state: string): void {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }
}

class FakeStream {
  #tracks: { kind: string }[] = [];
  getTracks() {
    return [...this.#tracks];
  }
  addTrack(track: { kind: string }) {
    this.#tracks.push(track);
  }
  removeTrack(track: { kind: string }) {
    this.#tracks = this.#tracks.filter((one) => one !== track);
  }
}

interface Stage {
  readonly hub: FakeHub;
  readonly call: Call;
  readonly signals: Message[];
}

/** A camera that answers each offer, unless `answer` says otherwise. */
async function stage(
  options: CallOptions = {},
  answers: (offer: number) => boolean | "refuse" = () => true,
): Promise<Stage> {
  const hub = await startHub();
  const signals: Message[] = [];
  let offers = 0;
  hub.onSignal = (message, reply) => {
    signals.push(message);
    if ((message.data as { type: string }).type === "offer") {
      offers += 1;
      const answer = answers(offers);
      if (answer === "refuse") {
        reply({ error: new PlaitError("action-failed", "The camera's own offer came first").problem() });
      } else if (answer) {
        hub.broadcast({
          operation: "signal",
          thingID: "urn:test:lamp",
          ...(message.call === undefined ? {} : { call: message.call }),
          data: { type: "candidate", candidate: `early ${offers}`, sdpMid: "0" },
        });
        reply({ output: { type: "answer", sdp: `answer ${offers}` } });
      }
    }
  };
  const thing = lamp();
  hub.add({ ...thing, description: { ...thing.description, links: [{ rel: "plait:call", href: "/ws" }] } });
  const home = open(hub);
  await home.whenReady();
  const call = home.thing("Lamp").call({
    RTCPeerConnection: FakePeer as unknown as typeof RTCPeerConnection,
    backoff: new Backoff(() => 0.01),
    ...options,
  });
  return { hub, call, signals };
}

const is = (phase: CallState["phase"]) => (state: CallState) => state.phase === phase;
const peer = (index: number): FakePeer => {
  const made = FakePeer.made[index];
  if (made === undefined) {
    throw new Error(`there is no peer ${index}`);
  }
  return made;
};

/** Resolves once `check` no longer throws. */
async function eventually(check: () => void): Promise<void> {
  await expect
    .poll(() => {
      check();
      return true;
    })
    .toBe(true);
}

beforeEach(() => {
  FakePeer.made = [];
  Object.assign(globalThis, { MediaStream: FakeStream });
});

describe("a call", () => {
  it("offers, trickles after its offer, and takes early candidates after the answer", async () => {
    const { call, signals } = await stage({ channels: { drive: { ordered: false } } });
    await eventually(() => expect(peer(0).log).toContain("add early 1"));
    expect(peer(0).log).toEqual([
      "video recvonly",
      "channel drive",
      "local offer 1",
      "remote answer 1",
      "add early 1",
    ]);
    expect(call.channels.value.get("drive")).toMatchObject({ ordered: false });
    peer(0).onicecandidate?.({ candidate: null });
    peer(0).become("connected");
    expect(call.state.value.phase).toBe("connected");
    call.close();
    await eventually(() => expect(signals).toHaveLength(4));
    const data = signals.map((signal) => signal.data);
    expect(data).toEqual([
      { type: "offer", sdp: "offer 1" },
      { type: "candidate", candidate: "candidate:1", sdpMid: "0", sdpMLineIndex: 0 },
      { type: "candidate", candidate: "" },
      { type: "bye", reason: "the viewer left" },
    ]);
    expect(peer(0).log.at(-1)).toBe("close");
  });

  it("keeps one stream whose tracks are replaced", async () => {
    const { call } = await stage();
    await eventually(() => expect(FakePeer.made).toHaveLength(1));
    const { stream } = call;
    const [first, second, sound] = [{ kind: "video" }, { kind: "video" }, { kind: "audio" }];
    peer(0).ontrack?.({ track: first as object });
    peer(0).ontrack?.({ track: sound as object });
    peer(0).ontrack?.({ track: second as object });
    expect(stream.getTracks()).toEqual([sound, second]);
    call.close();
    expect(stream.getTracks()).toEqual([]);
  });

  it("restarts ICE when the path fails, then opens a new call", async () => {
    const { call, signals } = await stage({}, (offer) => offer !== 2);
    await until(call.state, is("connecting"));
    await eventually(() => expect(peer(0).log).toContain("add early 1"));
    peer(0).become("connected");
    peer(0).become("failed");
    await eventually(() => expect(peer(0).log).toContain("restart"));
    peer(0).become("failed");
    await until(call.state, is("broken"));
    expect(call.state.value.error).toMatchObject({ code: "offline" });
    await eventually(() => expect(FakePeer.made).toHaveLength(2));
    await eventually(() => expect(peer(1).log).toContain("remote answer 3"));
    peer(1).become("connected");
    expect(call.state.value.phase).toBe("connected");
    const calls = new Set(signals.map((signal) => signal.call));
    expect(calls.size).toBe(2);
    call.close();
  });

  it("goes on with the same call where the ICE restart helps", async () => {
    const { call } = await stage();
    await eventually(() => expect(peer(0).log).toContain("add early 1"));
    peer(0).become("connected");
    peer(0).become("failed");
    await eventually(() => expect(peer(0).log).toContain("remote answer 2"));
    peer(0).become("connected");
    expect(call.state.value.phase).toBe("connected");
    expect(FakePeer.made).toHaveLength(1);
    call.close();
  });

  it("gives way where the device restarts at the same moment, and offers its own again", async () => {
    let theirs: (() => void) | undefined;
    const { hub, call, signals } = await stage({}, (offer) => {
      if (offer === 2) {
        theirs?.();
        return "refuse";
      }
      return true;
    });
    await eventually(() => expect(peer(0).log).toContain("add early 1"));
    theirs = () =>
      hub.broadcast({
        messageType: "request",
        operation: "signal",
        messageID: "d1",
        thingID: "urn:test:lamp",
        ...(signals[0]?.call === undefined ? {} : { call: signals[0].call }),
        data: { type: "offer", sdp: "their offer" },
      });
    peer(0).become("connected");
    peer(0).become("failed");
    await eventually(() => expect(peer(0).log).toContain("remote answer 3"));
    peer(0).become("connected");
    expect(peer(0).log.filter((entry) => !entry.startsWith("add"))).toEqual([
      "video recvonly",
      "local offer 1",
      "remote answer 1",
      "restart",
      "local offer 2",
      "remote their offer",
      "local answer 3",
      "local offer 4",
      "remote answer 3",
    ]);
    expect(call.state.value.phase).toBe("connected");
    expect(FakePeer.made).toHaveLength(1);
    call.close();
  });

  it("withdraws an offer that the device refuses before its own has come", async () => {
    const { call } = await stage({}, (offer) => (offer === 2 || offer === 3 ? "refuse" : true));
    await eventually(() => expect(peer(0).log).toContain("add early 1"));
    peer(0).become("connected");
    peer(0).become("failed");
    await eventually(() => expect(peer(0).log).toContain("remote answer 4"));
    expect(peer(0).log.filter((entry) => entry === "rollback")).toHaveLength(2);
    peer(0).become("connected");
    expect(call.state.value.phase).toBe("connected");
    expect(FakePeer.made).toHaveLength(1);
    call.close();
  });

  it("opens anew when the device hangs up, and at once when it is back", async () => {
    const { hub, call, signals } = await stage({
      backoff: new Backoff(
        () => 1,
        () => 0,
      ),
    });
    await eventually(() => expect(peer(0).log).toContain("add early 1"));
    hub.setOnline("urn:test:lamp", false);
    const id = signals[0]?.call ?? "";
    hub.broadcast({
      operation: "signal",
      thingID: "urn:test:lamp",
      call: id,
      data: { type: "bye", reason: "gone" },
    });
    const { error } = await until(call.state, is("broken"));
    expect(error?.message).toBe("gone");
    hub.setOnline("urn:test:lamp", true);
    await eventually(() => expect(FakePeer.made).toHaveLength(2));
    call.close();
  });

  it("answers an offer of the device's", async () => {
    const { hub, call, signals } = await stage();
    await eventually(() => expect(peer(0).log).toContain("add early 1"));
    const offer = { type: "offer", sdp: "their offer" };
    const id = signals[0]?.call ?? "";
    hub.broadcast({
      messageType: "request",
      operation: "signal",
      messageID: "d1",
      thingID: "urn:test:lamp",
      call: id,
      data: offer,
    });
    await eventually(() => {
      const answer = hub.received.find(({ correlationID }) => correlationID === "d1");
      expect(answer?.output).toEqual({ type: "answer", sdp: "answer 2" });
    });
    call.close();
  });

  it("is not ended by a candidate that this browser cannot use", async () => {
    const { hub, call, signals } = await stage();
    await eventually(() => expect(peer(0).log).toContain("add early 1"));
    const id = signals[0]?.call ?? "";
    for (const candidate of ["rubbish", "good", ""]) {
      const data = { type: "candidate", candidate };
      hub.broadcast({ operation: "signal", thingID: "urn:test:lamp", call: id, data });
    }
    await eventually(() => expect(peer(0).log).toContain("add good"));
    expect(call.state.value.phase).toBe("connecting");
    call.close();
  });

  it("ends where trying again cannot help", async () => {
    const hub = await startHub();
    hub.add(lamp());
    const home = open(hub);
    await home.whenReady();
    const thing = home.thing("Lamp");
    hub.things.clear();
    const call = thing.call({ RTCPeerConnection: FakePeer as unknown as typeof RTCPeerConnection });
    const { error } = await until(call.state, is("closed"));
    expect(error).toMatchObject({ code: "unknown-thing" });
  });
});
