import type { DataSchema, Thing } from "@plait/sdk";
import { formatRtt, formatValue } from "../model/format.ts";
import type { PlannedProperty } from "../model/plan.ts";
import { whyNotSet } from "../model/reach.ts";
import { signalOf } from "../state/bridge.ts";
import { waysTo } from "../state/reach.ts";
import { useWrite, type WriteState } from "../state/write.ts";
import { Field } from "./field.tsx";
import { Select } from "./select.tsx";
import { Slider } from "./slider.tsx";
import { Switch } from "./switch.tsx";

export interface ControlProps {
  /** As the device last said. */
  readonly value: unknown;
  readonly label: string;
  readonly schema: DataSchema;
  /** What was asked and is not answered yet. */
  readonly pending: unknown;
  /** Why it cannot be set now; undefined where it can. */
  readonly why: string | undefined;
  readonly onWrite: (value: unknown) => void;
}

/** The last word of the device on this property. */
export function useValue(thing: Thing, name: string): unknown {
  return signalOf(thing.values).value[name]?.value;
}

/** "Asking the device…", then "Confirmed in 4 ms" for a while. */
export function Confirmation({ state }: { state: WriteState }) {
  const words =
    state.phase === "pending"
      ? "Asking the device…"
      : state.phase === "confirmed"
        ? `Confirmed in ${formatRtt(state.tookMs)}`
        : state.phase === "failed"
          ? "Not changed"
          : "";
  return (
    <span class="confirmation" data-testid="confirmation" data-phase={state.phase}>
      {words}
    </span>
  );
}

/** The control that a property's schema asks for, without its title. */
export function PropertyControl({
  thing,
  property,
  write,
}: {
  thing: Thing;
  property: PlannedProperty;
  write?: ReturnType<typeof useWrite>;
}) {
  const own = useWrite(thing, property);
  const [state, onWrite] = write ?? own;
  const value = useValue(thing, property.name);
  const { control, schema } = property;
  const why = whyNotSet(waysTo(thing));
  const props: ControlProps = {
    value,
    label: property.title,
    schema,
    pending: state.phase === "pending" ? state.asked : undefined,
    why,
    onWrite,
  };
  switch (control.kind) {
    case "switch":
      return <Switch {...props} />;
    case "slider":
      return <Slider {...props} control={control} />;
    case "select":
      return <Select {...props} control={control} />;
    case "number":
    case "text":
    case "json":
      return <Field {...props} control={control} />;
    case "color":
      return (
        <input
          type="color"
          aria-label={property.title}
          value={typeof value === "string" ? value : "#ffffff"}
          disabled={why !== undefined}
          title={why}
          onChange={(event) => onWrite(event.currentTarget.value)}
        />
      );
    case "structure":
      return (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard
        <pre class="structure" tabIndex={0}>
          {value === undefined ? "–" : JSON.stringify(value, null, 2)}
        </pre>
      );
    default:
      return <span class="figure">{formatValue(value, schema)}</span>;
  }
}
