/** What the SDK's tests share: a hub in memory, and homes that are closed again. */

import { afterEach } from "vitest";
import { WebSocket } from "ws";
import { FakeHub, type FakeThing } from "../../dev/fakehub.ts";
import { Backoff } from "../src/backoff.ts";
import { type ConnectOptions, connect, type Home } from "../src/home.ts";
import type { WebSocketClass } from "../src/socket.ts";
import type { Watched } from "../src/watched.ts";

const closing: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) {
    await close();
  }
});

export async function startHub(port = 0): Promise<FakeHub> {
  const hub = new FakeHub();
  await hub.listen(port);
  closing.push(() => hub.close());
  return hub;
}

export function lamp(): FakeThing {
  const timestamp = "2026-01-01T00:00:00Z";
  return {
    description: {
      id: "urn:test:lamp",
      title: "Lamp",
      properties: { on: { type: "boolean" }, level: { type: "integer", minimum: 0, maximum: 100 } },
      actions: { blink: {} },
      events: { hot: { data: { type: "number" } } },
    },
    online: true,
    since: timestamp,
    values: { on: { value: false, timestamp }, level: { value: 10, timestamp } },
    history: {},
  };
}

/** Dial a hub; waits between attempts are 10 ms at most, so that tests are quick. */
export function open(hub: FakeHub, options: Partial<ConnectOptions> = {}): Home {
  const home = connect({
    url: hub.url,
    WebSocket: WebSocket as unknown as WebSocketClass,
    backoff: new Backoff(() => 0.05),
    ...options,
  });
  closing.push(() => home.close());
  return home;
}

/** Resolves with the first value that fits. */
export function until<T>(watched: Watched<T>, fits: (value: T) => boolean): Promise<T> {
  return new Promise((resolve) => {
    const off = watched.subscribe((value) => {
      if (fits(value)) {
        queueMicrotask(() => off());
        resolve(value);
      }
    });
  });
}
