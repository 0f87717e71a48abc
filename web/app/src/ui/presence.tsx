import type { Thing } from "@plait/sdk";
import { formatTime, formatUntil } from "../model/format.ts";
import { signalOf } from "../state/bridge.ts";
import { clock } from "../state/home.ts";
import { presenceOf } from "../state/reach.ts";

/** Whether the thing is connected, since when it is not, and when it wakes. */
export function PresenceLine({ thing }: { thing: Thing }) {
  const { since, until } = signalOf(thing.presence).value;
  const state = presenceOf(thing);
  return (
    <span class="presence" data-testid="presence" data-state={state}>
      <span class="dot" aria-hidden="true" />
      {state === "asleep" && until !== undefined
        ? `Asleep, next wake ${formatUntil(Date.parse(until), clock.value)}`
        : state === "online"
          ? "Online"
          : state === "unknown"
            ? "Not known without the hub"
            : `${state === "asleep" ? "Asleep" : "Offline"} since ${formatTime(new Date(since))}`}
    </span>
  );
}
