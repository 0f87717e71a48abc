/** What is said when the hub has lost the session: that all is current again, and what is not known. */

import type { Home, UnknownOutcome } from "@plait/sdk";
import { titleOf } from "../model/plan.ts";
import { tell } from "./notices.ts";

/** Named in the message; the others are counted. */
const NAMED = 3;

export function tellLost(home: Home, unknown: readonly UnknownOutcome[]): void {
  const commands = unknown.filter(({ operation }) => ["writeproperty", "invokeaction"].includes(operation));
  if (commands.length === 0) {
    tell({
      tone: "info",
      title: "Connected anew",
      detail: "The hub had lost the session. Everything shown is current again.",
    });
    return;
  }
  const named = commands.slice(0, NAMED).map((command) => describe(home, command));
  const more = commands.length > NAMED ? ` and ${commands.length - NAMED} more` : "";
  tell({
    tone: "error",
    title: "Session lost",
    detail: `It is not known whether this was done: ${named.join("; ")}${more}. Everything shown is current again.`,
  });
}

/** "Hall lamp: Power". */
function describe(home: Home, { operation, thingID, name = "" }: UnknownOutcome): string {
  const thing = home.things.value.find(({ id }) => id === thingID);
  const { properties = {}, actions = {} } = thing?.description.value ?? {};
  const affordance = (operation === "invokeaction" ? actions : properties)[name] ?? {};
  return `${thing?.title ?? thingID}: ${titleOf(name, affordance)}`;
}
