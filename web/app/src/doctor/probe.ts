/** Asks STUN and TURN servers, with connections that lead nowhere but back here. */

import type { Found, Gathered, Relayed, Server } from "./servers.ts";

/** Longest gathering, and longest attempt with one TURN server, in ms. */
const GATHER_WITHIN = 5_000;
const RELAY_WITHIN = 8_000;
/** Messages behind a round trip. */
const TURNS = 5;

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

interface CandidateError extends Event {
  readonly url: string;
  readonly errorCode: number;
  readonly errorText: string;
}

/** Ask all STUN servers from one connection. */
export async function gather(servers: readonly Server[]): Promise<Gathered> {
  const asked = servers.filter(({ transport }) => transport === undefined).map(({ url }) => url);
  const candidates: Found[] = [];
  const silent: string[] = [];
  const peer = new RTCPeerConnection({ iceServers: asked.map((urls) => ({ urls })) });
  try {
    const over = new Promise<void>((resolve) => {
      peer.onicecandidate = ({ candidate }) => {
        if (candidate === null) {
          resolve();
        } else if (candidate.address) {
          const { type, address, port, foundation } = candidate;
          candidates.push({ type: type ?? "", address, port: port ?? 0, foundation: foundation ?? "" });
        }
      };
    });
    peer.addEventListener("icecandidateerror", (event) => silent.push((event as CandidateError).url));
    peer.createDataChannel("doctor");
    await peer.setLocalDescription();
    const finished = await Promise.race([over.then(() => true), after(GATHER_WITHIN).then(() => false)]);
    const answered = candidates.some(({ type }) => type === "srflx");
    // Chromium takes ten seconds to give a silent server up; by then, who answers has.
    return { candidates, asked, silent: finished || answered ? silent : asked };
  } finally {
    peer.close();
  }
}

/** Take a data channel through two relays of a TURN server and back. */
export async function relay({ url, transport, config }: Server): Promise<Relayed> {
  const result = {
    url,
    transport: transport ?? "udp",
    allocated: false,
    roundTrip: undefined as number | undefined,
    code: 0,
    why: "",
  };
  const rtc: RTCConfiguration = { iceServers: [config], iceTransportPolicy: "relay" };
  const [one, other] = [new RTCPeerConnection(rtc), new RTCPeerConnection(rtc)];
  try {
    const refused = new Promise<undefined>((resolve) => {
      one.addEventListener("icecandidateerror", (event) => {
        const { errorCode, errorText } = event as CandidateError;
        result.code = errorCode;
        result.why = errorText;
      });
      one.addEventListener("icecandidate", ({ candidate }) => {
        if (candidate === null && !result.allocated) {
          resolve(undefined);
        } else if (candidate?.candidate) {
          result.allocated = true;
        }
      });
    });
    const gone = after(RELAY_WITHIN).then(() => undefined);
    const [near, far] = join(one, other);
    const opened = await Promise.race([Promise.all([near, far]), refused, gone]);
    if (opened !== undefined) {
      result.roundTrip = await Promise.race([measure(...opened), gone]);
    }
  } catch (error) {
    result.why = (error as Error).message;
  } finally {
    one.close();
    other.close();
  }
  return result;
}

/** Connect two ends here; each one's channel, once it is open. */
function join(
  one: RTCPeerConnection,
  other: RTCPeerConnection,
): [Promise<RTCDataChannel>, Promise<RTCDataChannel>] {
  const channel = one.createDataChannel("doctor", { ordered: false, maxRetransmits: 0 });
  const near = new Promise<RTCDataChannel>((resolve) => {
    channel.onopen = () => resolve(channel);
  });
  const far = new Promise<RTCDataChannel>((resolve) => {
    other.ondatachannel = (event) => resolve(event.channel);
  });
  const carry = (from: RTCPeerConnection, to: RTCPeerConnection): void => {
    from.addEventListener("icecandidate", ({ candidate }) => {
      // A candidate that cannot be used is one path fewer.
      to.addIceCandidate(candidate ?? undefined).catch(() => {});
    });
  };
  const negotiate = async (): Promise<void> => {
    const offer = await one.createOffer();
    await other.setRemoteDescription(offer);
    await one.setLocalDescription(offer);
    const answer = await other.createAnswer();
    await one.setRemoteDescription(answer);
    await other.setLocalDescription(answer);
  };
  carry(one, other);
  carry(other, one);
  return [negotiate().then(() => near), far];
}

/** The shortest time from one end to the other: to the server, and back to this page. */
async function measure(near: RTCDataChannel, far: RTCDataChannel): Promise<number | undefined> {
  let best: number | undefined;
  for (let turn = 0; turn < TURNS; turn += 1) {
    const came = new Promise<number>((resolve) => {
      far.onmessage = () => resolve(performance.now());
    });
    const sent = performance.now();
    near.send(String(turn));
    const at = await Promise.race([came, after(1_000).then(() => undefined)]);
    if (at !== undefined && (best === undefined || at - sent < best)) {
      best = at - sent;
    }
  }
  return best;
}
