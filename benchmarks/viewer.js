// A bare viewer: the protocol of docs/protocol.md and WebRTC, with nothing between. Runs in a page of the hub's origin.

class Line {
  static open() {
    const line = new Line();
    return new Promise((resolve, reject) => {
      line.waiting = new Map();
      line.seq = 0;
      line.ack = 0;
      line.onsignal = () => {};
      const scheme = location.protocol === "https:" ? "wss" : "ws";
      line.socket = new WebSocket(`${scheme}://${location.host}/ws`, ["plait.v1.json"]);
      line.socket.onerror = () => reject(new Error("the hub refuses the WebSocket"));
      line.socket.onmessage = (event) => line.take(JSON.parse(event.data));
      line.socket.onopen = () =>
        line.ask({ operation: "hello", input: { protocol: 1, software: "viewer" } }).then(() => resolve(line), reject);
    });
  }

  take(message) {
    if (message.seq) this.ack = message.seq;
    if (message.messageType === "response") {
      const [resolve, reject] = this.waiting.get(message.correlationID) ?? [];
      this.waiting.delete(message.correlationID);
      if (message.error) reject?.(new Error(message.error.detail ?? message.error.title));
      else resolve?.(message);
    } else if (message.operation === "signal") {
      this.onsignal(message);
    }
  }

  send(message) {
    const free = ["hello", "ping", "ack"].includes(message.operation);
    this.socket.send(JSON.stringify(free ? message : { ...message, seq: ++this.seq, ack: this.ack }));
  }

  ask(members) {
    const messageID = crypto.randomUUID();
    return new Promise((resolve, reject) => {
      this.waiting.set(messageID, [resolve, reject]);
      this.send({ messageType: "request", messageID, ...members });
    });
  }

  tell(members) {
    this.send({ messageType: "notification", ...members });
  }
}

// Opens a call to a camera and shows it; `call.first` is the time (ms) from now to the first decoded picture.
async function watch(line, thingID) {
  const began = performance.now();
  const video = document.createElement("video");
  video.autoplay = video.playsInline = true;
  document.body.append(video);
  const first = new Promise((resolve) =>
    video.requestVideoFrameCallback(() => resolve(performance.now() - began)),
  );
  const { output } = await line.ask({ operation: "opencall", thingID });
  const peer = new RTCPeerConnection({ iceServers: output.iceServers });
  const signal = { operation: "signal", thingID, call: output.call };
  const call = { peer, video, first, bye: "" };
  let answered;
  const ready = new Promise((resolve) => {
    answered = resolve;
  });
  line.onsignal = ({ data }) => {
    if (data.type === "bye") call.bye = data.reason || "bye";
    // Candidates may come before the answer that they belong to.
    else if (data.candidate) ready.then(() => peer.addIceCandidate(data));
  };
  peer.onicecandidate = ({ candidate }) =>
    line.tell({ ...signal, data: { type: "candidate", ...(candidate?.toJSON() ?? { candidate: "" }) } });
  video.srcObject = new MediaStream();
  peer.ontrack = ({ track }) => video.srcObject.addTrack(track);
  peer.addTransceiver("video", { direction: "recvonly" });
  peer.addTransceiver("audio", { direction: "recvonly" });
  await peer.setLocalDescription();
  const answer = await line.ask({ ...signal, data: { type: "offer", sdp: peer.localDescription.sdp } });
  await peer.setRemoteDescription(answer.output);
  answered();
  call.close = () => {
    line.tell({ ...signal, data: { type: "bye" } });
    peer.close();
    video.remove();
  };
  call.stats = async (kind = "video") => {
    for (const entry of (await peer.getStats()).values())
      if (entry.type === "inbound-rtp" && entry.kind === kind) return entry;
    return {};
  };
  return call;
}

window.plait = { Line, watch };
