/** The one home that this page shows. */

import { connect, type Home, type PlaitError, type Thing, type ThingEvent } from "@plait/sdk";
import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { isLoggedIn, logIn, takeLoginCode } from "./access.ts";
import { fetchAhead } from "./ahead.ts";
import { signalOf } from "./bridge.ts";
import { tellLost } from "./lost.ts";
import { tellError } from "./notices.ts";

export type View =
  | { readonly kind: "starting" }
  | { readonly kind: "login"; readonly problem?: string }
  | { readonly kind: "home"; readonly home: Home };

export const view = signal<View>({ kind: "starting" });

/** The clock of the page: ticks for "3 s ago" and the like. */
export const clock = signal(Date.now());

/** Events remembered per thing. */
const FEED = 50;

const feeds = new Map<string, Signal<readonly ThingEvent[]>>();

/** Newest first. */
export function feedOf(thing: Thing): ReadonlySignal<readonly ThingEvent[]> {
  return feedSignal(thing.id);
}

function feedSignal(id: string): Signal<readonly ThingEvent[]> {
  const feed = feeds.get(id) ?? signal<readonly ThingEvent[]>([]);
  feeds.set(id, feed);
  return feed;
}

/** Whether what the page shows is current. */
export const live = computed(
  () => view.value.kind === "home" && signalOf(view.value.home.status).value.state === "online",
);

export async function start(): Promise<void> {
  setInterval(() => {
    clock.value = Date.now();
  }, 1000);
  window.addEventListener("hashchange", () => {
    // A login link pasted into a page that is open already.
    const code = takeLoginCode();
    if (code !== undefined) {
      enter(code);
    }
  });
  await enter(takeLoginCode());
}

async function enter(code: string | undefined): Promise<void> {
  if (code !== undefined) {
    try {
      await logIn(code);
    } catch (error) {
      // A link that was used already does no harm to a browser that is logged in.
      if (!(await isLoggedIn())) {
        view.value = { kind: "login", problem: (error as Error).message };
        return;
      }
    }
  } else if (!(await isLoggedIn())) {
    view.value = { kind: "login" };
    return;
  }
  if (view.value.kind !== "home") {
    open();
  }
}

function open(): void {
  const home = connect({ url: location.origin });
  const watched = new Set<Thing>();
  home.things.subscribe((things) => {
    for (const thing of things) {
      if (!watched.has(thing)) {
        watched.add(thing);
        watch(thing);
      }
    }
  });
  home.status.subscribe(({ state, error }) => {
    if (state === "stopped" && error?.code === "unauthorized") {
      view.value = { kind: "login", problem: "This browser is no longer logged in." };
    }
  });
  home.sessionLost.on((unknown) => tellLost(home, unknown));
  home.problems.on((error: PlaitError) => tellError("The hub", error));
  window.addEventListener("online", () => home.reconnect());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") {
      home.reconnect();
    }
  });
  fetchAhead(home);
  view.value = { kind: "home", home };
}

function watch(thing: Thing): void {
  thing.observe();
  const feed = feedSignal(thing.id);
  thing.events((event) => {
    feed.value = [event, ...feed.value].slice(0, FEED);
  });
}
