/** How a thing can be reached now. All of this reads signals: a component that calls it follows them. */

import type { Presence, Thing } from "@plait/sdk";
import type { Ways } from "../model/reach.ts";
import { signalOf } from "./bridge.ts";
import { flowingOf } from "./calls.ts";
import { live } from "./home.ts";
import { linkedOf } from "./paths.ts";

export function waysTo(thing: Thing): Ways {
  return {
    title: thing.title,
    hub: live.value,
    presence: signalOf(thing.presence).value.state,
    direct: linkedOf(thing).value.direct,
  };
}

/** Whether something comes from a thing directly now. */
export function isReachedDirectly(thing: Thing): boolean {
  return linkedOf(thing).value.direct || flowingOf(thing).value;
}

/** Whether a thing is there: "unknown" while the hub is away, and nothing comes from it directly. */
export function presenceOf(thing: Thing): Presence["state"] | "unknown" {
  const { hub, presence } = waysTo(thing);
  return isReachedDirectly(thing) ? "online" : hub ? presence : "unknown";
}
