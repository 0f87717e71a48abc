import { mayRunTwice, type Thing } from "@plait/sdk";
import { ChevronRight, Hourglass } from "lucide";
import { useRef } from "preact/hooks";
import { Confirmation, PropertyControl, useValue } from "../controls/control.tsx";
import { formatAgo, formatNumber, formatState, formatValue, isPower } from "../model/format.ts";
import { glyphFor } from "../model/glyph.ts";
import { isWorthALink, type PlannedProperty, planTile, type TilePlan, titleOf } from "../model/plan.ts";
import { whyNotSet } from "../model/reach.ts";
import { symbolOf } from "../model/units.ts";
import { signalOf } from "../state/bridge.ts";
import { clock, feedOf, live } from "../state/home.ts";
import { useLink } from "../state/links.ts";
import { presenceOf, waysTo } from "../state/reach.ts";
import { linkTo } from "../state/route.ts";
import { useWrite } from "../state/write.ts";
import { Icon } from "../ui/icon.tsx";
import { useInView } from "../ui/in-view.ts";
import { useLazy } from "../ui/lazy.ts";
import { ThingPath } from "../ui/path-badge.tsx";
import { PresenceLine } from "../ui/presence.tsx";
import { ActionButton } from "./action.tsx";
import { LiveVideo } from "./video.tsx";

/** What the sparkline of a tile spans, in ms. */
const SPARK_WINDOW = 5 * 60_000;

const loadChart = async () => (await import("../chart/chart.tsx")).Chart;

export function Tile({ thing }: { thing: Thing }) {
  const description = signalOf(thing.description).value;
  const state = presenceOf(thing);
  const plan = planTile(description);
  const { primary } = plan;
  const on =
    primary !== undefined &&
    state === "online" &&
    isPower(primary.schema) &&
    signalOf(thing.values).value[primary.name]?.value === true;
  const article = useRef<HTMLElement>(null);
  useLink(thing, useInView(article) && isWorthALink(description));
  return (
    <article
      ref={article}
      class="tile"
      data-thing={thing.id}
      data-presence={state}
      data-kind={plan.camera ? "camera" : (plan.primary?.control.kind ?? "plain")}
      data-on={on || undefined}
      data-stale={state === "unknown" || undefined}
      aria-label={description.title}
    >
      {plan.camera && <LiveVideo thing={thing} />}
      <header class="tile-head">
        <span class="glyph">
          <Icon node={glyphFor(description)} size={20} />
        </span>
        <div class="tile-title">
          <h2>
            <a href={linkTo(thing.id)}>
              {description.title}
              <Icon node={ChevronRight} size={16} />
            </a>
          </h2>
          <PresenceLine thing={thing} />
        </div>
        {plan.primary?.control.kind === "switch" && <PrimarySwitch thing={thing} property={plan.primary} />}
      </header>
      {plan.primary !== undefined && plan.primary.control.kind !== "switch" && (
        <Primary thing={thing} property={plan.primary} />
      )}
      <Others thing={thing} plan={plan} />
      <LastEvent thing={thing} />
      <Waiting thing={thing} plan={plan} />
      {(!plan.camera || plan.actions.length > 0) && (
        <footer class="tile-foot">
          {!plan.camera && <ThingPath thing={thing} />}
          <span class="tile-actions">
            {plan.actions.map((planned) => (
              <ActionButton key={planned.name} thing={thing} planned={planned} />
            ))}
          </span>
        </footer>
      )}
    </article>
  );
}

/** While the hub is away: what on this tile waits for it, and why. */
function Waiting({ thing, plan }: { thing: Thing; plan: TilePlan }) {
  const why = whyNotSet(waysTo(thing));
  const waiting = plan.actions.filter(({ action }) => !mayRunTwice(action));
  const settable = [plan.primary, ...plan.others].some(
    (property) => property !== undefined && property.schema.readOnly !== true,
  );
  if (live.value || !(why === undefined ? waiting.length > 0 : settable || plan.actions.length > 0)) {
    return null;
  }
  const titles = waiting.map(({ title }) => title).join(" and ");
  return (
    <p class="reason" data-testid="reason">
      <Icon node={Hourglass} size={14} />
      {why ??
        `${titles} ${waiting.length > 1 ? "wait" : "waits"} for the hub, which sees that it is done once.`}
    </p>
  );
}

/** The switch in the tile's corner, and its state in words beneath. */
function PrimarySwitch({ thing, property }: { thing: Thing; property: PlannedProperty }) {
  const write = useWrite(thing, property);
  const value = useValue(thing, property.name);
  const [state] = write;
  return (
    <>
      <span class="tile-switch" data-prop={property.name}>
        <PropertyControl thing={thing} property={property} write={write} />
      </span>
      <p class="tile-state" data-testid="state" data-phase={state.phase}>
        <span class="big">{formatState(value, property.schema)}</span>
        <Confirmation state={state} />
      </p>
    </>
  );
}

function Primary({ thing, property }: { thing: Thing; property: PlannedProperty }) {
  const value = useValue(thing, property.name);
  const { control, schema, name, title } = property;
  if (control.kind === "reading" && typeof value === "number") {
    return (
      <div class="reading" data-prop={name}>
        <p class="reading-now">
          <span class="visually-hidden">{title}: </span>
          <span class="huge" data-testid="value">
            {formatNumber(value, schema)}
          </span>
          <span class="unit">{symbolOf(schema.unit)}</span>
        </p>
        <Spark thing={thing} property={property} />
      </div>
    );
  }
  return <Row thing={thing} property={property} />;
}

function Spark({ thing, property }: { thing: Thing; property: PlannedProperty }) {
  const Chart = useLazy(loadChart);
  return (
    <div class="spark">
      {Chart !== undefined && <Chart thing={thing} property={property} window={SPARK_WINDOW} bare />}
    </div>
  );
}

function Others({ thing, plan }: { thing: Thing; plan: TilePlan }) {
  if (plan.others.length === 0) {
    return null;
  }
  return (
    <div class="rows">
      {plan.others.map((property) => (
        <Row key={property.name} thing={thing} property={property} />
      ))}
    </div>
  );
}

/** A property on one line: its title, its control, and what the device said to the last wish. */
export function Row({ thing, property }: { thing: Thing; property: PlannedProperty }) {
  const write = useWrite(thing, property);
  const [state] = write;
  return (
    <div
      class="row"
      data-prop={property.name}
      data-control={property.control.kind}
      data-off={whyNotSet(waysTo(thing)) !== undefined || undefined}
    >
      <span class="row-title" title={property.schema.description}>
        {property.title}
        {state.phase !== "idle" && <Confirmation state={state} />}
      </span>
      <PropertyControl thing={thing} property={property} write={write} />
    </div>
  );
}

/** The last thing that happened, where something did. */
function LastEvent({ thing }: { thing: Thing }) {
  const [event] = feedOf(thing).value;
  const affordance = signalOf(thing.description).value.events?.[event?.name ?? ""];
  if (event === undefined) {
    return null;
  }
  return (
    <p class="last-event" data-testid="last-event" data-event={event.name}>
      <strong>{titleOf(event.name, affordance ?? {})}</strong>
      {event.data !== undefined && event.data !== null && (
        <span>{formatValue(event.data, affordance?.data ?? {})}</span>
      )}
      <time dateTime={event.timestamp}>{formatAgo(Date.parse(event.timestamp), clock.value)}</time>
    </p>
  );
}
