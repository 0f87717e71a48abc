/** Whether a thing can be asked now, and why not. Pure, so that it is tested as a table. */

import { type ActionAffordance, mayRunTwice, type Presence } from "@plait/sdk";

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

/** Return why its properties cannot be set now, as a sentence for people; undefined where they can. */
export function whyNotSet({ title, hub, presence, direct }: Ways): string | undefined {
  if (direct || (hub && presence === "online")) {
    return undefined;
  }
  return hub ? `${title} is ${presence}.` : `The hub is away, and there is no direct way to ${title}.`;
}

/** The same of running an action: a sleeping thing runs it when it wakes, and not every one may pass the hub by. */
export function whyNotRun(ways: Ways, action: ActionAffordance): string | undefined {
  if (ways.hub && ways.presence !== "offline") {
    return undefined;
  }
  const why = whyNotSet(ways);
  return why === undefined && !mayRunTwice(action)
    ? "Waits for the hub, which sees to it that this is done once."
    : why;
}
