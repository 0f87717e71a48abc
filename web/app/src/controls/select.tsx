import type { Json } from "@plait/sdk";
import type { Control } from "../model/control.ts";
import type { ControlProps } from "./control.tsx";

/** At most so many short options stand side by side. */
const SEGMENTS = 4;
const SEGMENT_LETTERS = 28;

/** One of few values: side by side where they fit, otherwise in a list. */
export function Select(props: ControlProps & { control: Extract<Control, { kind: "select" }> }) {
  const { value, label, pending, why, control, onWrite } = props;
  const { options } = control;
  const is = (option: Json): boolean => JSON.stringify(option) === JSON.stringify(value);
  const letters = options.reduce((sum, option) => sum + option.label.length, 0);
  if (options.length <= SEGMENTS && letters <= SEGMENT_LETTERS) {
    return (
      <fieldset
        class="segments"
        aria-label={label}
        aria-busy={pending !== undefined}
        disabled={why !== undefined}
        title={why}
      >
        {options.map((option) => (
          <button
            key={option.label}
            type="button"
            aria-pressed={is(option.value)}
            data-pending={JSON.stringify(option.value) === JSON.stringify(pending) || undefined}
            onClick={() => onWrite(option.value)}
          >
            {option.label}
          </button>
        ))}
      </fieldset>
    );
  }
  return (
    <select
      aria-label={label}
      aria-busy={pending !== undefined}
      disabled={why !== undefined}
      title={why}
      value={options.findIndex((option) => is(option.value))}
      onChange={(event) => {
        const chosen = options[Number(event.currentTarget.value)];
        if (chosen !== undefined) {
          onWrite(chosen.value);
        }
      }}
    >
      <option value={-1} disabled hidden>
        –
      </option>
      {options.map((option, index) => (
        <option key={option.label} value={index}>
          {option.label}
        </option>
      ))}
    </select>
  );
}
