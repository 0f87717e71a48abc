/** The parts of W3C WoT Thing Description 1.1 that an app reads. */

import type { Json } from "./messages.ts";

/** Data schema (TD 1.1 section 5.3.2), which is a subset of JSON Schema. */
export interface DataSchema {
  readonly type?: "boolean" | "integer" | "number" | "string" | "object" | "array" | "null";
  readonly title?: string;
  readonly description?: string;
  readonly unit?: string;
  readonly const?: Json;
  readonly default?: Json;
  readonly enum?: readonly Json[];
  readonly oneOf?: readonly DataSchema[];
  readonly readOnly?: boolean;
  readonly writeOnly?: boolean;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, DataSchema>>;
  readonly required?: readonly string[];
  readonly items?: DataSchema | readonly DataSchema[];
  readonly minItems?: number;
  readonly maxItems?: number;
}

export interface PropertyAffordance extends DataSchema {
  readonly observable?: boolean;
  readonly "@type"?: string | readonly string[];
}

export interface ActionAffordance {
  readonly title?: string;
  readonly description?: string;
  readonly input?: DataSchema;
  readonly output?: DataSchema;
  readonly safe?: boolean;
  readonly idempotent?: boolean;
}

export interface EventAffordance {
  readonly title?: string;
  readonly description?: string;
  readonly data?: DataSchema;
}

export interface Link {
  readonly href: string;
  readonly rel?: string;
  readonly "plait:media"?: readonly string[];
  readonly "plait:files"?: readonly string[];
}

export interface ThingDescription {
  readonly id: string;
  readonly title: string;
  readonly description?: string;
  readonly "@type"?: string | readonly string[];
  readonly properties?: Readonly<Record<string, PropertyAffordance>>;
  readonly actions?: Readonly<Record<string, ActionAffordance>>;
  readonly events?: Readonly<Record<string, EventAffordance>>;
  readonly links?: readonly Link[];
}

/** The `@type`s of a thing, always as a list. */
export function typesOf(description: ThingDescription): readonly string[] {
  const types = description["@type"] ?? [];
  return typeof types === "string" ? [types] : types;
}

/** The media that a viewer may ask a thing for; empty where it takes no calls. */
export function mediaOf(description: ThingDescription): readonly string[] {
  const link = description.links?.find((candidate) => candidate.rel === "plait:call");
  return link === undefined ? [] : (link["plait:media"] ?? ["video"]);
}

/** Whether a thing takes files over a link, and whether it gives some. */
export function filesOf(description: ThingDescription): { readonly takes: boolean; readonly gives: boolean } {
  const words = description.links?.find(({ rel }) => rel === "plait:link")?.["plait:files"] ?? [];
  return { takes: words.includes("receive"), gives: words.includes("send") };
}

/** Whether doing an action twice is doing it once: such a one may go directly, without the hub's journal. */
export function mayRunTwice({ safe, idempotent }: ActionAffordance): boolean {
  return safe === true || idempotent === true;
}
