/** What comes while a link is asked for, in any order in which it may come. */

import { describe, expect, it } from "vitest";
import type { FakeHub } from "../../dev/fakehub.ts";
import { Backoff } from "../src/backoff.ts";
import { Link as Core } from "../src/link/core/link.ts";
import type { Link } from "../src/link/link.ts";
import { openLink } from "../src/link/open.ts";
import { lamp, open, startHub, until } from "./helpers.ts";

const thingID = "urn:test:lamp";

/** Answer as a thing that knows the link; `meanwhile` is told by the hub before the answer, of the ask of this number. */
function answering(hub: FakeHub, meanwhile: (call: string, asked: number) => void): () => number {
  let asked = 0;
  hub.onOpenLink = ({ input }) => {
    asked += 1;
    const link = (input as { link?: string }).link ?? "l-1";
    meanwhile(link, asked);
    return { output: { link, version: 1, known: asked > 1, iceServers: [] } };
  };
  return () => asked;
}

function gone(hub: FakeHub, call: string): void {
  const data = { reason: "the other end's session is over", final: false };
  hub.broadcast({ messageType: "notification", operation: "endlink", thingID, call, data });
}

async function opened(hub: FakeHub): Promise<Link> {
  const home = open(hub);
  await until(home.ready, Boolean);
  return openLink(home, thingID, { direct: false, backoff: new Backoff(() => 0.05) });
}

/** Resolves once the hub has had a packet after so many asks. */
async function carried(hub: FakeHub, asks: number): Promise<void> {
  await expect
    .poll(() => {
      const operations = hub.received.map(({ operation }) => operation);
      const last = operations.lastIndexOf("openlink");
      const asked = operations.filter((operation) => operation === "openlink").length;
      return asked === asks && operations.slice(last).includes("link");
    })
    .toBe(true);
}

describe("a link that is asked for", () => {
  it("has what the thing says before the answer", async () => {
    const hub = await startHub();
    hub.add(lamp());
    const far = new Core();
    far.open("talk", "reliable");
    far.send("talk", "hello", { now: 0 });
    const packet = far.poll(0, "any") ?? new Uint8Array();
    answering(hub, (call) => {
      const data = Buffer.from(packet).toString("base64");
      hub.broadcast({ messageType: "notification", operation: "link", thingID, call, data });
    });
    const link = await opened(hub);
    expect(await link.channel("talk").receive()).toBe("hello");
    link.close();
  });

  it("is asked for again where the route is gone before the first answer", async () => {
    const hub = await startHub();
    hub.add(lamp());
    const asked = answering(hub, (call, number) => number === 1 && gone(hub, call));
    const link = await opened(hub);
    await carried(hub, 2);
    expect(asked()).toBe(2);
    link.close();
  });

  it("is asked for again where the route is gone before a later one", async () => {
    const hub = await startHub();
    hub.add(lamp());
    const asked = answering(hub, (call, number) => number === 2 && gone(hub, call));
    const link = await opened(hub);
    await carried(hub, 1);
    gone(hub, link.id);
    await carried(hub, 3);
    expect(asked()).toBe(3);
    link.close();
  });
});
