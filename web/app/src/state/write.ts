/** Setting a property: what was asked, until the device says what it is. Never shows a guess. */

import type { PlaitError, Thing } from "@plait/sdk";
import { useEffect, useRef, useState } from "preact/hooks";
import { formatRtt, formatValue } from "../model/format.ts";
import type { PlannedProperty } from "../model/plan.ts";
import { say, tellError } from "./notices.ts";

export type WriteState =
  | { readonly phase: "idle" }
  | { readonly phase: "pending"; readonly asked: unknown }
  | { readonly phase: "confirmed"; readonly tookMs: number }
  | { readonly phase: "failed" };

const SHOW_CONFIRMED = 3_000;

/** Return the state of the last write, and how to write. The newest write wins where several overlap. */
export function useWrite(
  thing: Thing,
  property: PlannedProperty,
): [WriteState, (value: unknown) => Promise<void>] {
  const [state, setState] = useState<WriteState>({ phase: "idle" });
  const newest = useRef(0);
  const fade = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(fade.current), []);

  const write = async (value: unknown): Promise<void> => {
    newest.current += 1;
    const mine = newest.current;
    clearTimeout(fade.current);
    setState({ phase: "pending", asked: value });
    const began = performance.now();
    let outcome: WriteState;
    try {
      const confirmed = await thing.write(property.name, value);
      const tookMs = performance.now() - began;
      outcome = { phase: "confirmed", tookMs };
      const words = formatValue(confirmed.value, property.schema);
      say(`${thing.title}: ${property.title} ${words}, confirmed in ${formatRtt(tookMs)}`);
    } catch (error) {
      outcome = { phase: "failed" };
      tellError(`${thing.title}, ${property.title}`, error as PlaitError);
    }
    if (mine === newest.current) {
      setState(outcome);
      fade.current = setTimeout(() => setState({ phase: "idle" }), SHOW_CONFIRMED);
    }
  };
  return [state, write];
}
