import type { DataSchema, Json, Thing } from "@plait/sdk";
import { useId, useState } from "preact/hooks";
import { initialOf, inputFor, parseInput } from "../model/control.ts";
import { formatRtt, formatValue, humanize } from "../model/format.ts";
import type { PlannedAction } from "../model/plan.ts";
import { whyNotRun } from "../model/reach.ts";
import { symbolOf } from "../model/units.ts";
import { waysTo } from "../state/reach.ts";
import { ActionIcon, useAction } from "./action.tsx";

type Fields = Readonly<Record<string, DataSchema>>;

/** A scalar input is a form of one field, whose name is empty. */
function fieldsOf(input: DataSchema | undefined): Fields {
  if (input === undefined || input.type === "null") {
    return {};
  }
  return input.type === "object" ? (input.properties ?? {}) : { "": input };
}

function draftOf(fields: Fields): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, schema]) => {
      const initial = initialOf(schema);
      return [
        name,
        initial === undefined ? "" : typeof initial === "string" ? initial : JSON.stringify(initial),
      ];
    }),
  );
}

type Read = { readonly input: Json | undefined } | { readonly problems: Readonly<Record<string, string>> };

/** Read the whole form; every problem at once, by field. */
export function readForm(input: DataSchema | undefined, draft: Readonly<Record<string, string>>): Read {
  const fields = fieldsOf(input);
  const required = new Set(input?.type === "object" ? (input.required ?? []) : [""]);
  const problems: Record<string, string> = {};
  const values: Record<string, Json> = {};
  for (const [name, schema] of Object.entries(fields)) {
    const parsed = parseInput(draft[name] ?? "", schema);
    if (parsed === undefined) {
      if (required.has(name)) {
        problems[name] = "This is needed";
      }
    } else if ("problem" in parsed) {
      problems[name] = parsed.problem;
    } else {
      values[name] = parsed.value;
    }
  }
  if (Object.keys(problems).length > 0) {
    return { problems };
  }
  return { input: input?.type === "object" ? values : values[""] };
}

/** An action with the form that its input schema asks for, and what came of it. */
export function ActionForm({ thing, planned }: { thing: Thing; planned: PlannedAction }) {
  const { action, title, name } = planned;
  const fields = fieldsOf(action.input);
  const [draft, setDraft] = useState(() => draftOf(fields));
  const [problems, setProblems] = useState<Readonly<Record<string, string>>>({});
  const [state, run] = useAction(thing, planned);
  const why = whyNotRun(waysTo(thing), action);
  const reason = useId();
  return (
    <form
      class="action"
      data-action={name}
      data-phase={state.phase}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        const read = readForm(action.input, draft);
        if ("problems" in read) {
          setProblems(read.problems);
        } else {
          setProblems({});
          void run(read.input);
        }
      }}
    >
      <div class="action-head" hidden={Object.keys(fields).length === 0 && action.description === undefined}>
        <h3>{title}</h3>
        {action.description !== undefined && <p class="muted">{action.description}</p>}
      </div>
      {Object.entries(fields).map(([field, schema]) => (
        <FormField
          key={field}
          name={field}
          schema={schema}
          value={draft[field] ?? ""}
          problem={problems[field]}
          onValue={(value) => setDraft({ ...draft, [field]: value })}
        />
      ))}
      <div class="action-foot">
        <button
          type="submit"
          class="button"
          aria-busy={state.phase === "pending"}
          aria-describedby={why === undefined ? undefined : reason}
          disabled={why !== undefined || state.phase === "pending"}
        >
          <ActionIcon state={state} waits={why !== undefined} />
          {title}
        </button>
        <span class="action-result" role="status" data-testid="action-result">
          {state.phase === "done" && (
            <>
              Done in {formatRtt(state.tookMs)}
              {state.output !== undefined && state.output !== null && (
                <code>{formatValue(state.output, action.output ?? {})}</code>
              )}
            </>
          )}
          {state.phase === "failed" && <span class="problem">{state.message}</span>}
        </span>
        {why !== undefined && (
          <span class="reason" id={reason} data-testid="reason">
            {why}
          </span>
        )}
      </div>
    </form>
  );
}

interface FormFieldProps {
  readonly name: string;
  readonly schema: DataSchema;
  readonly value: string;
  readonly problem: string | undefined;
  readonly onValue: (value: string) => void;
}

function FormField({ name, schema, value, problem, onValue }: FormFieldProps) {
  const id = useId();
  const label = schema.title ?? (name === "" ? "Value" : humanize(name));
  return (
    <div class="form-field">
      <label for={id}>
        {label}
        {schema.unit !== undefined && <span class="muted"> {symbolOf(schema.unit)}</span>}
      </label>
      <FormInput id={id} schema={schema} value={value} problem={problem} onValue={onValue} />
      {problem !== undefined && (
        <span class="problem" role="alert" id={`${id}-problem`}>
          {problem}
        </span>
      )}
      {schema.description !== undefined && <span class="muted hint">{schema.description}</span>}
    </div>
  );
}

function FormInput({ id, schema, value, problem, onValue }: Omit<FormFieldProps, "name"> & { id: string }) {
  const control = inputFor(schema);
  const shared = {
    id,
    value,
    "aria-invalid": problem !== undefined,
    ...(problem === undefined ? {} : { "aria-describedby": `${id}-problem` }),
    onInput: (event: { currentTarget: { value: string } }) => onValue(event.currentTarget.value),
  };
  switch (control.kind) {
    case "switch":
      return (
        <input
          id={id}
          type="checkbox"
          checked={value === "true"}
          onChange={(event) => onValue(String(event.currentTarget.checked))}
        />
      );
    case "select":
      return (
        <select {...shared}>
          {control.options.map((option) => (
            <option
              key={option.label}
              value={typeof option.value === "string" ? option.value : JSON.stringify(option.value)}
            >
              {option.label}
            </option>
          ))}
        </select>
      );
    case "slider":
    case "number":
      return <input type="number" min={control.min} max={control.max} step={control.step} {...shared} />;
    case "color":
      return <input type="color" {...shared} />;
    case "text":
      return control.long ? <textarea rows={3} {...shared} /> : <input type="text" {...shared} />;
    default:
      return <textarea rows={3} spellcheck={false} {...shared} />;
  }
}
