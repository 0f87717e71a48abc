/** WebRTC in Node, by werift; where its data channels differ from a browser's, they are made to be alike. */

import { RTCPeerConnection as Werift } from "werift";

class InNode extends Werift {
  override createDataChannel(...given: Parameters<Werift["createDataChannel"]>) {
    const channel = super.createDataChannel(...given);
    const send = channel.send.bind(channel);
    channel.send = (data) => send(typeof data === "string" ? data : Buffer.from(data));
    let take: ((event: { data: unknown }) => void) | undefined;
    channel.onMessage.subscribe((data) => {
      const { buffer, byteOffset, byteLength } = typeof data === "string" ? Buffer.from(data) : data;
      take?.({ data: buffer.slice(byteOffset, byteOffset + byteLength) });
    });
    Object.defineProperty(channel, "onmessage", {
      set: (taken) => {
        take = taken;
      },
    });
    return channel;
  }
}

export const PeerInNode = InNode as unknown as typeof RTCPeerConnection;
