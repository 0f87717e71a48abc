/** The paths of open links, by thing: what a thing's badge shows while there is one, and whether it is there without the hub. */

import { answersDirectly, type Link, type Path, type Thing, wayOf } from "@plait/sdk";
import { type ReadonlySignal, type Signal, signal } from "@preact/signals";

interface Linked {
  /** What carries the link; undefined while nothing does, and where there is none. */
  readonly path: Path | undefined;
  /** The thing answers on a direct path. */
  readonly direct: boolean;
}

const NONE: Linked = { path: undefined, direct: false };
const known = new Map<string, Signal<Linked>>();

function signalFor(thing: Thing): Signal<Linked> {
  const found = known.get(thing.id) ?? signal(NONE);
  known.set(thing.id, found);
  return found;
}

/** What is known of the link to a thing. */
export function linkedOf(thing: Thing): ReadonlySignal<Linked> {
  return signalFor(thing);
}

/** Show the paths of a link, as they are now; undefined: there is none any more. */
export function showPaths(thing: Thing, link: Link | undefined): void {
  signalFor(thing).value = link === undefined ? NONE : { path: wayOf(link), direct: answersDirectly(link) };
}
