import { Check } from "lucide";
import { useEffect, useState } from "preact/hooks";
import { type Control, parseInput } from "../model/control.ts";
import { symbolOf } from "../model/units.ts";
import { Icon } from "../ui/icon.tsx";
import type { ControlProps } from "./control.tsx";

function textOf(value: unknown): string {
  if (value === undefined || value === null) {
    return "";
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}

interface Shared {
  readonly "aria-label": string;
  readonly "aria-invalid": boolean;
  readonly disabled: boolean;
  readonly title: string | undefined;
  readonly value: string;
  readonly onInput: (event: { currentTarget: { value: string } }) => void;
}

function TypedInput({ control, shared }: { control: Control; shared: Shared }) {
  return control.kind === "number" ? (
    <input type="number" min={control.min} max={control.max} step={control.step} {...shared} />
  ) : (
    <input type="text" {...shared} />
  );
}

/** A typed value: sent when it is entered, not at each key. */
export function Field(
  props: ControlProps & { control: Extract<Control, { kind: "number" | "text" | "json" }> },
) {
  const { value, label, pending, why, schema, control, onWrite } = props;
  const [draft, setDraft] = useState<string>();
  const [problem, setProblem] = useState<string>();
  useEffect(() => {
    // What was sent is shown until the device has answered; then its own word counts.
    if (pending === undefined) {
      setDraft(undefined);
    }
  }, [pending]);

  const text = draft ?? textOf(value);
  const changed = draft !== undefined && draft !== textOf(value);
  const enter = (): void => {
    if (!changed) {
      return;
    }
    const parsed = draft === "" && schema.type === "string" ? { value: "" } : parseInput(draft, schema);
    if (parsed === undefined || "problem" in parsed) {
      setProblem(parsed?.problem ?? "Something is missing here");
    } else {
      setProblem(undefined);
      onWrite(parsed.value);
    }
  };
  const shared: Shared = {
    "aria-label": label,
    "aria-invalid": problem !== undefined,
    disabled: why !== undefined,
    title: why,
    value: text,
    onInput: (event: { currentTarget: { value: string } }) => setDraft(event.currentTarget.value),
  };
  return (
    <form
      class="field"
      aria-busy={pending !== undefined}
      onSubmit={(event) => {
        event.preventDefault();
        enter();
      }}
    >
      {control.kind === "json" || (control.kind === "text" && control.long) ? (
        <textarea rows={3} spellcheck={false} {...shared} />
      ) : (
        <TypedInput control={control} shared={shared} />
      )}
      {schema.unit !== undefined && <span class="muted">{symbolOf(schema.unit)}</span>}
      {changed && (
        <button type="submit" class="button small" disabled={why !== undefined} aria-label={`Set ${label}`}>
          <Icon node={Check} size={16} />
        </button>
      )}
      {problem !== undefined && (
        <span class="problem" role="alert">
          {problem}
        </span>
      )}
    </form>
  );
}
