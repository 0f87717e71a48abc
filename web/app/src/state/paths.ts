/** The paths of open links, by thing: what a thing's badge shows while there is one. */

import type { Path, Thing } from "@plait/sdk";
import { type ReadonlySignal, type Signal, signal } from "@preact/signals";

const paths = new Map<string, Signal<Path | undefined>>();

function pathSignal(thing: Thing): Signal<Path | undefined> {
  const known = paths.get(thing.id) ?? signal<Path | undefined>(undefined);
  paths.set(thing.id, known);
  return known;
}

/** The path of the link to a thing; undefined while there is none. */
export function linkPathOf(thing: Thing): ReadonlySignal<Path | undefined> {
  return pathSignal(thing);
}

export function showPath(thing: Thing, path: Path | undefined): void {
  pathSignal(thing).value = path;
}
