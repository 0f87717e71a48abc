/** From the SDK's watched values to signals. */

import type { Watched } from "@plait/sdk";
import { type ReadonlySignal, type Signal, signal } from "@preact/signals";

const known = new WeakMap<object, Signal<unknown>>();

/** Return the signal that follows a watched value; always the same one for the same value. */
export function signalOf<T>(watched: Watched<T>): ReadonlySignal<T> {
  const found = known.get(watched);
  if (found !== undefined) {
    return found as ReadonlySignal<T>;
  }
  const made = signal(watched.value);
  known.set(watched, made as Signal<unknown>);
  watched.subscribe((value) => {
    made.value = value;
  });
  return made;
}
