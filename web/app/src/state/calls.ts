/** Calls are shared by the tile and the device page, and linger a little, so that going between them is seamless. */

import type { Call, MediaFigures, Path, Thing } from "@plait/sdk";
import { type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";

export interface SharedCall {
  readonly call: Call;
  readonly path: ReadonlySignal<Path | undefined>;
  readonly figures: ReadonlySignal<(MediaFigures & { readonly bitsPerSecond: number }) | undefined>;
}

interface Entry extends SharedCall {
  users: number;
  linger: ReturnType<typeof setTimeout> | undefined;
}

const LINGER = 8_000;
const STATS_EVERY = 1_000;

const flowing = new Map<string, Signal<boolean>>();

/** Whether the picture of a thing's call moves, so that the thing is surely there. */
export function flowingOf(thing: Thing): Signal<boolean> {
  const known = flowing.get(thing.id) ?? signal(false);
  flowing.set(thing.id, known);
  return known;
}

const entries = new Map<Thing, Entry>();

function open(thing: Thing): Entry {
  const call = thing.call();
  const path = signal<Path | undefined>(undefined);
  const figures: Signal<SharedCall["figures"]["value"]> = signal(undefined);
  const read = async (): Promise<void> => {
    path.value = await call.path();
    const now = await call.figures();
    const before = figures.value;
    const seconds = before === undefined || now === undefined ? 0 : (now.timestamp - before.timestamp) / 1000;
    const bits =
      before === undefined || now === undefined ? 0 : (now.bytesReceived - before.bytesReceived) * 8;
    figures.value =
      now === undefined
        ? undefined
        : { ...now, bitsPerSecond: seconds > 0 && bits >= 0 ? bits / seconds : (before?.bitsPerSecond ?? 0) };
  };
  // Statistics of a connection that closes meanwhile are of no interest.
  const poll = (): void => void read().catch(() => {});
  const timer = setInterval(poll, STATS_EVERY);
  call.flowing.subscribe((flows) => {
    flowingOf(thing).value = flows;
  });
  call.state.subscribe(({ phase }) => {
    if (phase === "connected") {
      poll();
    } else {
      path.value = undefined;
      figures.value = undefined;
    }
    if (phase === "closed") {
      clearInterval(timer);
    }
  });
  return { call, path, figures, users: 0, linger: undefined };
}

function acquire(thing: Thing): Entry {
  const known = entries.get(thing);
  const entry = known === undefined || known.call.state.value.phase === "closed" ? open(thing) : known;
  entries.set(thing, entry);
  clearTimeout(entry.linger);
  entry.users += 1;
  return entry;
}

function release(thing: Thing, entry: Entry): void {
  entry.users -= 1;
  if (entry.users === 0) {
    entry.linger = setTimeout(() => {
      entry.call.close();
      if (entries.get(thing) === entry) {
        entries.delete(thing);
      }
    }, LINGER);
  }
}

/** A call with the thing for as long as the component is shown. */
export function useCall(thing: Thing): SharedCall | undefined {
  const [entry, setEntry] = useState<Entry>();
  useEffect(() => {
    const acquired = acquire(thing);
    setEntry(acquired);
    return () => release(thing, acquired);
  }, [thing]);
  return entry;
}
