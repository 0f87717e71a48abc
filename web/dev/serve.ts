/**
 * Serve the built page with a household that is made up: `npm run fake`. A page at /dev-camera plays the camera.
 * For looking at the page without a hub; not shipped.
 */

import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import type { WebSocket } from "ws";
import { PlaitError } from "../sdk/src/errors.ts";
import type { Message } from "../sdk/src/messages.ts";
import { FakeHub, type FakeThing } from "./fakehub.ts";

const [page = "../src/plait/hub/page", port = "8090"] = process.argv.slice(2);

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; " +
  "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const CAMERA = `<!doctype html><title>camera</title><canvas width=1280 height=720></canvas><script>
const canvas = document.querySelector("canvas"), g = canvas.getContext("2d");
let n = 0;
setInterval(() => {
  n++;
  const sky = g.createLinearGradient(0, 0, 0, 720);
  sky.addColorStop(0, "#7fb2d9"); sky.addColorStop(0.6, "#f0d9bd"); sky.addColorStop(1, "#5c6b5a");
  g.fillStyle = sky; g.fillRect(0, 0, 1280, 720);
  g.fillStyle = "#43474f"; g.fillRect(0, 470, 1280, 250);
  g.fillStyle = "#d8b25c"; for (let i = -1; i < 9; i++) g.fillRect(i * 180 - (n * 9) % 180, 585, 90, 12);
  g.fillStyle = "#8c5a4d"; g.fillRect(160, 210, 300, 260); g.fillStyle = "#c9bda8"; g.fillRect(560, 150, 380, 320);
  g.fillStyle = "#e9e4d4"; for (let x = 0; x < 4; x++) for (let y = 0; y < 3; y++) g.fillRect(600 + x * 85, 190 + y * 90, 46, 56);
  g.fillStyle = "#b3392f"; g.fillRect((n * 6) % 1600 - 220, 500, 210, 60);
}, 33);
const peers = new Map(), ws = new WebSocket("ws://" + location.host + "/camera");
const stream = canvas.captureStream(30);
ws.onmessage = async ({ data }) => {
  const m = JSON.parse(data), s = m.data;
  if (s.type === "offer") {
    const pc = new RTCPeerConnection(); peers.set(m.call, pc);
    pc.addTrack(stream.getVideoTracks()[0], stream);
    pc.onicecandidate = ({ candidate: c }) => ws.send(JSON.stringify({ call: m.call, data: { type: "candidate", candidate: c ? c.candidate : "", sdpMid: c?.sdpMid, sdpMLineIndex: c?.sdpMLineIndex } }));
    await pc.setRemoteDescription(s); await pc.setLocalDescription();
    ws.send(JSON.stringify({ call: m.call, messageID: m.messageID, answer: { type: "answer", sdp: pc.localDescription.sdp } }));
  } else if (s.type === "candidate" && s.candidate) peers.get(m.call)?.addIceCandidate(s);
  else if (s.type === "bye") { peers.get(m.call)?.close(); peers.delete(m.call); }
};
</script>`;

function thing(description: FakeThing["description"], values: Record<string, unknown>): FakeThing {
  const timestamp = new Date().toISOString();
  const states = Object.entries(values).map(([name, value]) => [name, { value, timestamp }] as const);
  return { description, online: true, since: timestamp, values: Object.fromEntries(states), history: {} };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const hub = new FakeHub();
const camera = thing(
  {
    id: "urn:dev:camera",
    title: "Street camera",
    description: "Looks onto the street in front of the house.",
    "@type": ["Camera"],
    links: [{ rel: "plait:call", href: "/ws", "plait:media": ["video"] }],
    events: { motion: { title: "Motion", data: { type: "string" } } },
  },
  {},
);
const lamp: FakeThing = {
  ...thing(
    {
      id: "urn:dev:lamp",
      title: "Hall lamp",
      description: "The lamp in the hall, which dims.",
      properties: {
        on: { type: "boolean", title: "Power" },
        brightness: { type: "integer", title: "Brightness", minimum: 0, maximum: 100, unit: "percent" },
      },
      actions: {
        blink: {
          title: "Blink",
          description: "Goes off and on a few times, and ends as it began.",
          input: {
            type: "object",
            properties: { times: { type: "integer", default: 3, minimum: 1, maximum: 20 } },
          },
        },
      },
      events: { overheated: { title: "Overheated", data: { type: "number", unit: "degreeCelsius" } } },
    },
    { on: false, brightness: 80 },
  ),
  write: async (_name, value) => {
    await pause(Number(process.env.LAMP_DELAY ?? 3));
    return value;
  },
  invoke: async () => {
    await pause(400);
    return null;
  },
};
const thermometer = thing(
  {
    id: "urn:dev:thermometer",
    title: "Living room",
    properties: {
      temperature: { type: "number", title: "Temperature", unit: "degreeCelsius", readOnly: true },
    },
  },
  { temperature: 21.4 },
);
const vacuum: FakeThing = {
  ...thing(
    {
      id: "urn:dev:vacuum",
      title: "Vacuum",
      description: "Cleans by itself, room by room.",
      properties: {
        state: { type: "string", title: "State", enum: ["docked", "cleaning", "returning"], readOnly: true },
        mode: { type: "string", title: "Mode", enum: ["quiet", "normal", "max"] },
        battery: { type: "integer", title: "Battery", unit: "percent", readOnly: true },
        name: { type: "string", title: "Name" },
        schedule: { type: "object", title: "Schedule" },
        stats: { type: "object", title: "Statistics", readOnly: true },
      },
      actions: {
        start: { title: "Start" },
        clean: {
          title: "Clean a room",
          description: "Goes to one room and cleans it.",
          input: {
            type: "object",
            required: ["room"],
            properties: {
              room: {
                type: "string",
                title: "Room",
                enum: ["kitchen", "hall", "living room", "bedroom", "bath"],
              },
              twice: { type: "boolean", title: "Twice" },
              speed: { type: "number", title: "Speed", minimum: 0.1, maximum: 1, unit: "m/s" },
            },
          },
        },
      },
      events: { stuck: { title: "Stuck", data: { type: "string" } } },
    },
    {
      state: "docked",
      mode: "normal",
      battery: 87,
      name: "Robbie",
      schedule: { days: ["mon", "thu"] },
      stats: { runs: 12 },
    },
  ),
  invoke: async (name) => {
    await pause(300);
    throw new PlaitError("action-failed", `The motor is blocked, so ${name} was given up`);
  },
};
const lock: FakeThing = {
  ...thing(
    {
      id: "urn:dev:lock",
      title: "Front door",
      "@type": "Lock",
      properties: { locked: { type: "boolean", title: "Locked" } },
    },
    { locked: true },
  ),
  online: false,
  since: new Date(Date.now() - 47 * 60_000).toISOString(),
};

const temperature = (time: number): number =>
  Math.round(
    (21.4 + 0.9 * Math.sin(time / 90_000) + 0.25 * Math.sin(time / 13_000) + Math.random() * 0.06) * 100,
  ) / 100;
thermometer.history.temperature = Array.from({ length: 900 }, (_, index) => {
  const time = Date.now() - (900 - index) * 1000;
  return [new Date(time).toISOString(), temperature(time)];
});
const household =
  process.env.HOUSEHOLD === "small" ? [camera, lamp, thermometer] : [camera, lamp, thermometer, vacuum, lock];
for (const one of household) {
  hub.add(one);
}
setInterval(() => hub.report("urn:dev:thermometer", "temperature", temperature(Date.now())), 1000);
setTimeout(() => hub.emit("urn:dev:lamp", "overheated", 81.5), 4000);

let eye: WebSocket | undefined;
const answers = new Map<string, (members: Partial<Message>) => void>();
hub.doors.set("/camera", (socket) => {
  eye = socket;
  socket.on("message", (text) => {
    const { call, data, messageID, answer } = JSON.parse(String(text));
    if (answer === undefined) {
      hub.broadcast({ operation: "signal", thingID: "urn:dev:camera", call, data });
    } else {
      answers.get(messageID)?.({ output: answer });
      answers.delete(messageID);
    }
  });
});
hub.onSignal = ({ messageID, call, data }, reply) => {
  if (messageID !== undefined) {
    answers.set(messageID, reply);
  }
  eye?.send(JSON.stringify({ messageID, call, data }));
};

const open = process.env.OPEN !== "no";
hub.authorize = (request) => open || /plait=1/.test(request.headers.cookie ?? "");
hub.serve = (request, response) => {
  const path = new URL(request.url ?? "/", "http://hub").pathname;
  if (path === "/dev-camera") {
    response.writeHead(200, { "Content-Type": "text/html" }).end(CAMERA);
    return true;
  }
  if (path === "/api/login") {
    request.on("data", (body) => {
      const good = JSON.parse(String(body)).code === "good";
      response
        .writeHead(
          good ? 204 : 401,
          good ? { "Set-Cookie": "plait=1; HttpOnly; SameSite=Strict; Path=/" } : {},
        )
        .end();
    });
    return true;
  }
  if (path === "/api/me") {
    return false;
  }
  const file = join(page, path === "/" ? "index.html" : normalize(path));
  readFile(file).then(
    (body) => {
      const type = TYPES[extname(file)] ?? "application/octet-stream";
      response.writeHead(200, { "Content-Type": type, "Content-Security-Policy": POLICY }).end(body);
    },
    () => response.writeHead(404).end(),
  );
  return true;
};
process.stdout.write(`${await hub.listen(Number(port))}\n`);
