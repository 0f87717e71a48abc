/** From a data schema to the control that shows and sets it. Pure, so that it is tested as a table. */

import type { DataSchema, Json } from "@plait/sdk";
import { humanize } from "./format.ts";

export interface Option {
  readonly value: Json;
  readonly label: string;
}

export type Control =
  | { readonly kind: "switch" }
  | { readonly kind: "slider"; readonly min: number; readonly max: number; readonly step: number }
  | { readonly kind: "number"; readonly min?: number; readonly max?: number; readonly step: number | "any" }
  | { readonly kind: "select"; readonly options: readonly Option[] }
  | { readonly kind: "color" }
  | { readonly kind: "text"; readonly long: boolean }
  | { readonly kind: "json" }
  /** Shown only: a state, a number that may be charted, a text, or something structured. */
  | { readonly kind: "state" | "reading" | "label" | "structure" };

/** The values that a schema allows, where they are few and named. */
export function optionsOf(schema: DataSchema): readonly Option[] | undefined {
  if (schema.enum !== undefined) {
    return schema.enum.map((value) => ({
      value,
      label: typeof value === "string" ? humanize(value) : JSON.stringify(value),
    }));
  }
  if (schema.oneOf?.length && schema.oneOf.every((option) => option.const !== undefined)) {
    return schema.oneOf.map(({ const: value = null, title }) => ({
      value,
      label: title ?? (typeof value === "string" ? humanize(value) : JSON.stringify(value)),
    }));
  }
  return undefined;
}

function isNumeric(schema: DataSchema): boolean {
  return schema.type === "integer" || schema.type === "number";
}

/** A step that gives a slider about a hundred places. */
function stepOf(schema: DataSchema, min: number, max: number): number {
  if (schema.multipleOf !== undefined) {
    return schema.multipleOf;
  }
  if (schema.type === "integer") {
    return 1;
  }
  return 10 ** Math.floor(Math.log10((max - min) / 100 || 1));
}

function numeric(schema: DataSchema): Control {
  const least = schema.minimum ?? schema.exclusiveMinimum;
  const most = schema.maximum ?? schema.exclusiveMaximum;
  const exclusive = schema.exclusiveMinimum !== undefined || schema.exclusiveMaximum !== undefined;
  if (least !== undefined && most !== undefined && most > least && !exclusive) {
    return { kind: "slider", min: least, max: most, step: stepOf(schema, least, most) };
  }
  return {
    kind: "number",
    step: schema.multipleOf ?? (schema.type === "integer" ? 1 : "any"),
    ...(least === undefined ? {} : { min: least }),
    ...(most === undefined ? {} : { max: most }),
  };
}

function shown(schema: DataSchema): Control {
  if (schema.type === "boolean") {
    return { kind: "state" };
  }
  if (isNumeric(schema) && optionsOf(schema) === undefined) {
    return { kind: "reading" };
  }
  const structured = schema.type === "object" || schema.type === "array" || schema.type === undefined;
  return { kind: structured && optionsOf(schema) === undefined ? "structure" : "label" };
}

/** Return the control that sets a value of this schema. */
export function inputFor(schema: DataSchema): Control {
  const options = optionsOf(schema);
  if (options !== undefined) {
    return { kind: "select", options };
  }
  switch (schema.type) {
    case "boolean":
      return { kind: "switch" };
    case "integer":
    case "number":
      return numeric(schema);
    case "string":
      return schema.format === "color"
        ? { kind: "color" }
        : { kind: "text", long: (schema.maxLength ?? 0) > 200 };
    default:
      return { kind: "json" };
  }
}

/** Return the control for a property: one that sets it, or one that shows it where it is read-only. */
export function controlFor(schema: DataSchema): Control {
  return schema.readOnly ? shown(schema) : inputFor(schema);
}

/** A first value for a form field. */
export function initialOf(schema: DataSchema): Json | undefined {
  if (schema.default !== undefined) {
    return schema.default;
  }
  if (schema.const !== undefined) {
    return schema.const;
  }
  const options = optionsOf(schema);
  if (options !== undefined) {
    return options[0]?.value;
  }
  if (schema.type === "boolean") {
    return false;
  }
  return schema.type === "integer" || schema.type === "number" ? schema.minimum : undefined;
}

export type Parsed = { readonly value: Json } | { readonly problem: string };

/** Read what a person typed into a field of this schema; an empty field gives undefined. */
export function parseInput(text: string, schema: DataSchema): Parsed | undefined {
  if (text === "") {
    return undefined;
  }
  switch (schema.type) {
    case "string":
      return { value: text };
    case "integer":
    case "number": {
      const value = Number(text);
      if (Number.isNaN(value) || (schema.type === "integer" && !Number.isInteger(value))) {
        return { problem: schema.type === "integer" ? "A whole number, please" : "A number, please" };
      }
      if (schema.minimum !== undefined && value < schema.minimum) {
        return { problem: `At least ${schema.minimum}` };
      }
      if (schema.maximum !== undefined && value > schema.maximum) {
        return { problem: `At most ${schema.maximum}` };
      }
      return { value };
    }
    default:
      try {
        return { value: JSON.parse(text) as Json };
      } catch {
        return { problem: "This is not JSON" };
      }
  }
}
