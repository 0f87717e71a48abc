/** Which things may use which, as the hub has told; asked again after each change made here, and each new connection. */

import { type Home, type Pairing, type PlaitError, pair, pairings, unpair } from "@plait/sdk";
import { type ReadonlySignal, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { say, tellError } from "./notices.ts";

const known = signal<readonly Pairing[] | undefined>(undefined);

/** The pairings; undefined while they are not known. */
export function usePairings(home: Home): ReadonlySignal<readonly Pairing[] | undefined> {
  useEffect(
    () =>
      home.status.subscribe(({ state }) => {
        if (state === "online") {
          void refresh(home);
        }
      }),
    [home],
  );
  return known;
}

async function refresh(home: Home): Promise<void> {
  try {
    known.value = await pairings(home);
  } catch {
    // A hub of an earlier release knows of none; where the connection broke, the next one asks again.
  }
}

/** Let one thing use another, and say so. */
export function letUse(home: Home, caller: string, thing: string): Promise<void> {
  return change(home, caller, thing, pair, "may use");
}

/** Take it back, and say so. */
export function takeBack(home: Home, caller: string, thing: string): Promise<void> {
  return change(home, caller, thing, unpair, "may no longer use");
}

async function change(
  home: Home,
  caller: string,
  thing: string,
  ask: (home: Home, caller: string, thing: string) => Promise<unknown>,
  words: string,
): Promise<void> {
  const title = (id: string): string => home.things.value.find((one) => one.id === id)?.title ?? id;
  const sentence = `${title(caller)} ${words} ${title(thing)}`;
  try {
    await ask(home, caller, thing);
    say(sentence);
  } catch (error) {
    tellError(sentence, error as PlaitError);
  }
  await refresh(home);
}
