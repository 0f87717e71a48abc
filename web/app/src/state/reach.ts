/** How a thing can be reached now: through the hub, directly without it, or not at all, and why not. */

import { type ActionAffordance, mayRunTwice, type Presence, type Thing } from "@plait/sdk";
import { signalOf } from "./bridge.ts";
import { flowingOf } from "./calls.ts";
import { live } from "./home.ts";
import { linkedOf } from "./paths.ts";

/** What is known of the ways to a thing. */
export interface Ways {
  readonly title: string;
  /** The hub answers. */
  readonly hub: boolean;
  /** As the hub last said. */
  readonly presence: Presence["state"];
  /** It answers on a direct path. */
  readonly direct: boolean;
}

export type Reach =
  | { readonly by: "hub" | "direct"; readonly why?: undefined }
  /** `why`: for people, a sentence. */
  | { readonly by?: undefined; readonly why: string };

/** How properties are read and set now. */
export function reachOf({ title, hub, presence, direct }: Ways): Reach {
  if (direct) {
    return { by: hub && presence === "online" ? "hub" : "direct" };
  }
  if (!hub) {
    return { why: `The hub is away, and there is no direct way to ${title}.` };
  }
  return presence === "online" ? { by: "hub" } : { why: `${title} is ${presence}.` };
}

/** How an action is run now: a sleeping thing runs it when it wakes, and not every one may pass the hub by. */
export function actionReachOf(ways: Ways, action: ActionAffordance): Reach {
  if (ways.hub && ways.presence !== "offline") {
    return { by: "hub" };
  }
  const reach = reachOf(ways);
  return reach.by === undefined || mayRunTwice(action)
    ? reach
    : { why: "Waits for the hub, which sees to it that this is done once." };
}

function useWays(thing: Thing): Ways {
  return {
    title: thing.title,
    hub: live.value,
    presence: signalOf(thing.presence).value.state,
    direct: linkedOf(thing).value.direct,
  };
}

export function useReach(thing: Thing): Reach {
  return reachOf(useWays(thing));
}

export function useActionReach(thing: Thing, action: ActionAffordance): Reach {
  return actionReachOf(useWays(thing), action);
}

/** Whether something comes from a thing directly now. May be called anywhere a signal may be read. */
export function isReachedDirectly(thing: Thing): boolean {
  return linkedOf(thing).value.direct || flowingOf(thing).value;
}

/** Whether a thing is there: "unknown" while the hub is away, and nothing comes from it directly. */
export function usePresence(thing: Thing): Presence["state"] | "unknown" {
  const { hub, presence } = useWays(thing);
  return isReachedDirectly(thing) ? "online" : hub ? presence : "unknown";
}
