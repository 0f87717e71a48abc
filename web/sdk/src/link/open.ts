/** An app's links: opened through the hub, kept through its absence, closed by either end. */

import { Backoff } from "../backoff.ts";
import { PlaitError } from "../errors.ts";
import type { Home, SessionEvent } from "../home.ts";
import type { Message } from "../messages.ts";
import { IceServers } from "../servers.ts";
import type { Unsubscribe } from "../watched.ts";
import { VERSION } from "./core/link.ts";
import { Direct } from "./direct.ts";
import { HubCarrier, packetOf } from "./hub.ts";
import { Link } from "./link.ts";

export { Asking } from "./asking.ts";
export { Linked } from "./linked.ts";

export interface LinkOptions {
  /** Look for a direct path, and move to it when it is better; true unless told otherwise. */
  readonly direct?: boolean;
  /** In place of the global one. Where there is none, the link stays with the hub. */
  readonly RTCPeerConnection?: typeof RTCPeerConnection;
  /** Replaces the waits until a link that lost its route is asked for again; for tests. */
  readonly backoff?: Backoff;
}

interface Opened {
  readonly link: string;
  readonly version: number;
  readonly known: boolean;
  readonly iceServers?: RTCIceServer[];
}

/**
 * Open a link to a thing. Rejects with `offline` where the thing is not there, `forbidden` where the user may not
 * control it, `unknown-operation` where it takes no links.
 */
export async function openLink(home: Home, thingID: string, options: LinkOptions = {}): Promise<Link> {
  const route = new Route(home, thingID, options.backoff ?? new Backoff());
  // What comes before the answer has been read is this link's, if it has its id.
  const release = home.routes.hold();
  try {
    const opened = await route.ask();
    const link = new Link(opened.link);
    route.begin(link);
    const Peer = options.RTCPeerConnection ?? globalThis.RTCPeerConnection;
    if (options.direct !== false && Peer !== undefined) {
      const { iceServers = [] } = opened;
      const servers = new IceServers(home, link.id, iceServers);
      const renewed = () => servers.renewed();
      const direct = new Direct(link, { iceServers, renewed, RTCPeerConnection: Peer });
      link.closed.then(() => direct.close());
    }
    return link;
  } finally {
    release();
  }
}

/** A link's way through the hub. */
class Route {
  readonly #home: Home;
  readonly #thingID: string;
  readonly #backoff: Backoff;
  readonly #off: Unsubscribe[] = [];
  /** Packets of a link that the thing may have begun anew: not ours before it says that it knows ours. */
  #held: Message[] | undefined;
  #reopening = false;
  /** The route was said to be gone while we asked: the answer to come is of before. */
  #gone = false;
  /** The far end has ended the link. */
  #final = false;

  constructor(home: Home, thingID: string, backoff: Backoff) {
    this.#home = home;
    this.#thingID = thingID;
    this.#backoff = backoff;
  }

  async ask(link?: string): Promise<Opened> {
    const input = { versions: [VERSION], ...(link === undefined ? {} : { link }) };
    const { output } = await this.#home.request("openlink", { thingID: this.#thingID, input });
    const opened = output as Opened | undefined;
    if (typeof opened?.link !== "string") {
      throw new PlaitError("invalid-message", "The hub opened a link without an id", {
        field: "/output/link",
      });
    }
    if (opened.version !== VERSION) {
      const detail = `The thing speaks version ${opened.version} of links, this page ${VERSION}`;
      throw new PlaitError("unsupported-version", detail, { field: "/output/version" });
    }
    return opened;
  }

  begin(link: Link): void {
    // First the path: what has come before the answer is taken at once, and may say that the route is gone again.
    this.#carry(link);
    this.#off.push(
      this.#home.routes.on(link.id, (message) => this.#take(link, message)),
      this.#home.session.on((event) => this.#moved(link, event)),
    );
    link.closed.then((error) => this.#finish(link, error));
  }

  #carry(link: Link): void {
    link.pathOpened("hub", new HubCarrier(this.#home, this.#thingID, link.id));
  }

  #finish(link: Link, error: PlaitError | undefined): void {
    for (const off of this.#off) {
      off();
    }
    if (!this.#final && this.#home.status.value.state !== "stopped") {
      const data = { reason: error?.message ?? "", final: true };
      this.#home.notify("endlink", { thingID: this.#thingID, call: link.id, data });
    }
  }

  #take(link: Link, message: Message): void {
    if (message.operation === "link") {
      if (this.#held === undefined) {
        link.receive("hub", packetOf(message));
      } else {
        this.#held.push(message);
      }
      return;
    }
    const { reason = "", final = false } = (message.data ?? {}) as { reason?: string; final?: boolean };
    if (final) {
      this.#final = true;
      link.end(reason === "" ? undefined : new PlaitError("link-lost", reason));
    } else {
      this.#moved(link, "begun");
    }
  }

  /** Follow the session: what it carried goes on with it, or is opened anew. */
  #moved(link: Link, event: SessionEvent): void {
    switch (event) {
      case "resumed":
        // While it is asked for again it is not known whether there still is a route.
        if (!this.#reopening) {
          this.#carry(link);
        }
        break;
      case "broken":
        link.pathLost("hub");
        break;
      case "begun":
        link.pathLost("hub");
        this.#held = [];
        this.#gone = true;
        if (!this.#reopening) {
          this.#reopening = true;
          this.#reopen(link).finally(() => {
            this.#reopening = false;
          });
        }
        break;
      case "closed":
        link.end(new PlaitError("session-lost", "the connection to the hub is closed"));
    }
  }

  /** Ask until the thing is there: on a direct path the link goes on meanwhile. */
  async #reopen(link: Link): Promise<void> {
    let over = false;
    link.closed.then(() => {
      over = true;
    });
    while (!over) {
      this.#held = [];
      this.#gone = false;
      try {
        const { known } = await this.ask(link.id);
        if (this.#gone) {
          throw new PlaitError("link-lost", "the route is gone again");
        }
        if (!known) {
          link.end(
            new PlaitError("link-lost", "the thing has begun anew and does not know the link any more"),
          );
          return;
        }
        this.#backoff.reset();
        const held = this.#held;
        this.#held = undefined;
        this.#carry(link);
        for (const message of held) {
          link.receive("hub", packetOf(message));
        }
        return;
      } catch (error) {
        if (!(error instanceof PlaitError && error.retry)) {
          link.end(error instanceof PlaitError ? error : new PlaitError("error", (error as Error).message));
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, this.#backoff.next() * 1000));
      }
    }
  }
}
