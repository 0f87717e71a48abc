/** Letting one thing use another, without the hub too (`docs/protocol.md`, section 6): the owner's word, given and taken back. */

import type { Home } from "./home.ts";

/** One thing's right to use another. */
export interface Pairing {
  readonly id: string;
  /** The id of the thing that uses the other. */
  readonly with: string;
  /** The id of the one that is used. */
  readonly thingID: string;
  readonly verbs: readonly ("read" | "control")[];
  /** The properties, actions and events that it is limited to; null for all. */
  readonly names?: readonly string[] | null;
  /** When it ends (RFC 3339); null where it is only taken back. */
  readonly until?: string | null;
  /** Seconds for which the two go on without the hub. */
  readonly lease: number;
  /** Those of the two that are not there just now: it begins when they are. */
  readonly waiting?: readonly string[];
}

/** Return which things may use which. */
export async function pairings(home: Home): Promise<readonly Pairing[]> {
  return (await home.request("readpairings")).value as readonly Pairing[];
}

/**
 * Let `caller` use `thing`, all of it and until it is taken back. Rejects with `forbidden` where the user may not manage both,
 * `unknown-operation` where one of them cannot be paired.
 */
export async function pair(home: Home, caller: string, thing: string): Promise<Pairing> {
  return (await home.request("pair", { thingID: thing, input: { with: caller } })).output as Pairing;
}

/** Take it back: their link ends at once, or when the permission is over where neither has its hub. */
export async function unpair(home: Home, caller: string, thing: string): Promise<void> {
  await home.request("unpair", { thingID: thing, input: { with: caller } });
}
