import { useState } from "preact/hooks";
import type { Control } from "../model/control.ts";
import { formatValue } from "../model/format.ts";
import type { ControlProps } from "./control.tsx";

/** A number between two bounds. Dragging shows where it would go; only what the device confirms stays. */
export function Slider(props: ControlProps & { control: Extract<Control, { kind: "slider" }> }) {
  const { value, label, pending, why, schema, control, onWrite } = props;
  const [dragged, setDragged] = useState<number>();
  const current = typeof value === "number" ? value : control.min;
  const shown = dragged ?? (typeof pending === "number" ? pending : current);
  const filled = ((shown - control.min) / (control.max - control.min)) * 100;
  return (
    <span class="slider" aria-busy={pending !== undefined} data-pending={pending !== undefined || undefined}>
      <input
        type="range"
        min={control.min}
        max={control.max}
        step={control.step}
        value={shown}
        disabled={why !== undefined}
        title={why}
        aria-label={label}
        aria-valuetext={formatValue(shown, schema)}
        style={{ "--filled": `${filled}%` }}
        onInput={(event) => setDragged(event.currentTarget.valueAsNumber)}
        onChange={(event) => {
          setDragged(undefined);
          onWrite(event.currentTarget.valueAsNumber);
        }}
      />
      <output class="figure">{formatValue(dragged ?? current, schema)}</output>
    </span>
  );
}
