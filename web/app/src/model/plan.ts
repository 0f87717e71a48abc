/** What of a thing goes on its tile in the house view; the rest is on its own page. */

import {
  type ActionAffordance,
  type DataSchema,
  mayRunTwice,
  mediaOf,
  type PropertyAffordance,
  type ThingDescription,
  typesOf,
} from "@plait/sdk";
import { type Control, controlFor } from "./control.ts";
import { humanize } from "./format.ts";

export interface PlannedProperty {
  readonly name: string;
  readonly title: string;
  readonly schema: PropertyAffordance;
  readonly control: Control;
}

export interface PlannedAction {
  readonly name: string;
  readonly title: string;
  readonly action: ActionAffordance;
  /** Needs nothing to be filled in. */
  readonly immediate: boolean;
}

export interface TilePlan {
  readonly camera: boolean;
  /** What the tile is about, shown large. */
  readonly primary: PlannedProperty | undefined;
  readonly others: readonly PlannedProperty[];
  readonly actions: readonly PlannedAction[];
}

/** Shown beside the primary one. */
const OTHERS = 2;
const ACTIONS = 2;

export function titleOf(name: string, affordance: { readonly title?: string }): string {
  return affordance.title ?? humanize(name);
}

export function propertiesOf(description: ThingDescription): readonly PlannedProperty[] {
  return Object.entries(description.properties ?? {}).map(([name, affordance]) => {
    const title = titleOf(name, affordance);
    const schema = { ...affordance, title };
    return { name, title, schema, control: controlFor(schema) };
  });
}

/** Whether an action runs without being given anything. */
function isImmediate(input: DataSchema | undefined): boolean {
  if (input === undefined || input.type === "null") {
    return true;
  }
  return input.type === "object" && (input.required ?? []).length === 0;
}

export function actionsOf(description: ThingDescription): readonly PlannedAction[] {
  return Object.entries(description.actions ?? {}).map(([name, action]) => ({
    name,
    title: titleOf(name, action),
    action,
    immediate: isImmediate(action.input),
  }));
}

export function isCamera(description: ThingDescription): boolean {
  return (
    typesOf(description).some((type) => /(^|:)Camera$/.test(type)) || mediaOf(description).includes("video")
  );
}

/** Whether a link to it is of use here: it could be asked and heard without the hub. A camera's picture goes directly anyway. */
export function isWorthALink(description: ThingDescription): boolean {
  const properties = Object.values(description.properties ?? {});
  const settable =
    properties.some(({ readOnly = false }) => !readOnly) ||
    Object.values(description.actions ?? {}).some(mayRunTwice);
  return settable || (properties.length > 0 && !isCamera(description));
}

const PRIMARY = ["switch", "reading", "slider", "select", "state", "label", "number"] as const;
const ON_TILE: ReadonlySet<Control["kind"]> = new Set([...PRIMARY, "color"]);

/** Choose what the tile shows: a switch before a reading, a reading before anything else. */
export function planTile(description: ThingDescription): TilePlan {
  const camera = isCamera(description);
  const fit = propertiesOf(description).filter(({ control }) => ON_TILE.has(control.kind));
  const primary = camera
    ? undefined
    : PRIMARY.map((kind) => fit.find(({ control }) => control.kind === kind)).find(
        (found) => found !== undefined,
      );
  return {
    camera,
    primary,
    // Beside a picture only what can be set matters.
    others: fit
      .filter((property) => property !== primary && !(camera && property.schema.readOnly))
      .slice(0, OTHERS),
    actions: actionsOf(description).slice(0, ACTIONS),
  };
}
