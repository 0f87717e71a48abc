import type { PlaitError, Thing } from "@plait/sdk";
import { Check, Hourglass, LoaderCircle, Play } from "lucide";
import { useState } from "preact/hooks";
import { formatRtt } from "../model/format.ts";
import type { PlannedAction } from "../model/plan.ts";
import { whyNotRun } from "../model/reach.ts";
import { say, tellError } from "../state/notices.ts";
import { waysTo } from "../state/reach.ts";
import { linkTo } from "../state/route.ts";
import { Icon } from "../ui/icon.tsx";

export type ActionState =
  | { readonly phase: "idle" }
  | { readonly phase: "pending" }
  | { readonly phase: "done"; readonly tookMs: number; readonly output: unknown }
  | { readonly phase: "failed"; readonly message: string };

/** How long an action may take, in ms; of a sleeping thing, from its next wake. */
const ACTION_TIMEOUT = 30_000;

/** Return the state of the last run, and how to run. */
export function useAction(
  thing: Thing,
  planned: PlannedAction,
): [ActionState, (input: unknown) => Promise<void>] {
  const [state, setState] = useState<ActionState>({ phase: "idle" });
  const run = async (input: unknown): Promise<void> => {
    setState({ phase: "pending" });
    const began = performance.now();
    try {
      const { until } = thing.presence.value;
      const asleep = until === undefined ? 0 : Math.max(0, Date.parse(until) - Date.now());
      const output = await thing.invoke(planned.name, input, { timeout: asleep + ACTION_TIMEOUT });
      const tookMs = performance.now() - began;
      setState({ phase: "done", tookMs, output });
      say(`${thing.title}: ${planned.title} done in ${formatRtt(tookMs)}`);
    } catch (error) {
      setState({ phase: "failed", message: (error as Error).message });
      tellError(`${thing.title}, ${planned.title}`, error as PlaitError);
    }
  };
  return [state, run];
}

export function ActionIcon({ state, waits }: { state: ActionState; waits: boolean }) {
  const node =
    state.phase === "pending" ? LoaderCircle : waits ? Hourglass : state.phase === "done" ? Check : Play;
  return (
    <span class={state.phase === "pending" ? "spin" : ""}>
      <Icon node={node} size={15} />
    </span>
  );
}

/** An action on a tile: runs at once where nothing has to be filled in, else leads to its form. */
export function ActionButton({ thing, planned }: { thing: Thing; planned: PlannedAction }) {
  const [state, run] = useAction(thing, planned);
  const why = whyNotRun(waysTo(thing), planned.action);
  if (!planned.immediate) {
    return (
      <a class="button small" href={linkTo(thing.id)} data-action={planned.name}>
        {planned.title}…
      </a>
    );
  }
  const { input } = planned.action;
  return (
    <button
      type="button"
      class="button small"
      data-action={planned.name}
      data-phase={state.phase}
      aria-busy={state.phase === "pending"}
      title={why ?? planned.action.description}
      disabled={why !== undefined || state.phase === "pending"}
      onClick={() => run(input?.type === "object" ? {} : undefined)}
    >
      <ActionIcon state={state} waits={why !== undefined} />
      {planned.title}
    </button>
  );
}
