// Chromium's side of a measured call, beside benchmarks/viewer.js: a channel too, and the path in use.

const Browsers = RTCPeerConnection;
window.RTCPeerConnection = class extends Browsers {
  constructor(configuration) {
    super(configuration);
    this.echo = this.createDataChannel("echo");
    this.opened = new Promise((resolve) => {
      this.echo.onopen = () => resolve(performance.now());
    });
  }
};

async function path(peer) {
  const report = await peer.getStats();
  const transport = [...report.values()].find((entry) => entry.type === "transport");
  const pair = report.get(transport.selectedCandidatePairId);
  return [report.get(pair.localCandidateId), report.get(pair.remoteCandidateId)];
}

window.measure = async (id, within, settles) => {
  window.line ??= await plait.Line.open();
  // The device's connection may just have been lost with its network.
  for (let left = 60; left > 0; left -= 1) {
    const asked = line.ask({ operation: "readpicture", thingID: id, input: { width: 64, bytes: 4096 } });
    const why = await asked.then(() => "", String);
    if (!why) {
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  const began = performance.now();
  const call = await plait.watch(line, id);
  try {
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error(call.bye || "too late")), within));
    const both = Promise.all([call.first, call.peer.opened]);
    const [frame, opened] = await Promise.race([both, late]);
    const seen = { frame: frame / 1000, open: (opened - began) / 1000 };
    const until = performance.now() + settles;
    for (;;) {
      seen.path = await path(call.peer);
      if (!seen.path.some((end) => end.candidateType === "relay") || performance.now() > until) {
        return seen;
      }
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  } catch (error) {
    return { error: String(error) };
  } finally {
    call.close();
  }
};
