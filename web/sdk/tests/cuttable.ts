/** What the tests against a real hub share: homes at it, whose sockets can be cut. */

import { WebSocket } from "ws";
import { Backoff } from "../src/backoff.ts";
import { connect, type Home } from "../src/home.ts";
import type { WebSocketClass } from "../src/socket.ts";

/** The hub, and who asks it, as the test in Python says that runs these; empty where there is none. */
export const { PLAIT_HUB: url = "", PLAIT_TOKEN: token = "" } = process.env;

const sockets = new Set<WebSocket>();

class Noted extends WebSocket {
  constructor(...given: ConstructorParameters<typeof WebSocket>) {
    super(...given);
    sockets.add(this);
    this.once("close", () => sockets.delete(this));
  }
}

export const Cuttable = Noted as unknown as WebSocketClass;

/** Cut every connection to the hub. */
export function cut(): void {
  for (const socket of sockets) {
    socket.terminate();
  }
}

/** Use a home at the real hub, which dials again within 0.1 s. */
export async function at(use: (home: Home) => Promise<void>): Promise<void> {
  const home = connect({ url, token, WebSocket: Cuttable, backoff: new Backoff(() => 0.1) });
  try {
    await home.whenReady();
    await use(home);
  } finally {
    home.close();
  }
}
