/** The strand through the hub: packets as `link` notifications of the session (`docs/protocol.md`, section 4). */

import type { Home } from "../home.ts";
import type { Message } from "../messages.ts";
import type { Lane } from "./core/schedule.ts";
import type { Carrier } from "./strand.ts";

/** Bytes that the session may still keep for the hub when another packet is given to it. */
const ROOM = 256 << 10;
/** Characters that one call makes of bytes; far below what engines take as arguments. */
const CHUNK = 8 << 10;
/** Stands for what is no packet. */
const NO_PACKET = Uint8Array.of(0xff);

export class HubCarrier implements Carrier {
  readonly lanes: readonly Lane[] = ["any"];
  readonly #home: Home;
  readonly #about: { readonly thingID: string; readonly call: string };

  constructor(home: Home, thingID: string, link: string) {
    this.#home = home;
    this.#about = { thingID, call: link };
  }

  /** Whether the hub has taken most of what came before. */
  room(): boolean {
    return this.#home.online && this.#home.buffered < ROOM;
  }

  /** Send a packet; it is kept over breaks of the session, and lost with it. */
  send(_lane: Lane, packet: Uint8Array): void {
    this.#home.notify("link", { ...this.#about, data: toBase64(packet) });
  }
}

/** Return the packet in a `link` notification; bytes that are none, where there is none. */
export function packetOf({ data }: Message): Uint8Array {
  try {
    return typeof data === "string" ? fromBase64(data) : NO_PACKET;
  } catch {
    return NO_PACKET;
  }
}

export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  }
  return btoa(text);
}

/** Throws where it is not base64. */
export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
