import type { Thing } from "@plait/sdk";
import { formatTime } from "../model/format.ts";
import { signalOf } from "../state/bridge.ts";

/** Whether the thing is connected, and since when it is not. */
export function PresenceLine({ thing }: { thing: Thing }) {
  const { state, since } = signalOf(thing.presence).value;
  return (
    <span class="presence" data-testid="presence" data-state={state}>
      <span class="dot" aria-hidden="true" />
      {state === "online" ? "Online" : `Offline since ${formatTime(new Date(since))}`}
    </span>
  );
}
