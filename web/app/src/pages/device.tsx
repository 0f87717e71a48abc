import { filesOf, type Home, type Thing } from "@plait/sdk";
import { ArrowLeft, Hourglass, SearchX } from "lucide";
import { useEffect, useRef, useState } from "preact/hooks";
import { Chart } from "../chart/chart.tsx";
import { useValue } from "../controls/control.tsx";
import { formatBitrate, formatNumber, formatRtt, formatTime, formatValue } from "../model/format.ts";
import { glyphFor } from "../model/glyph.ts";
import {
  actionsOf,
  isCamera,
  isWorthALink,
  type PlannedProperty,
  propertiesOf,
  titleOf,
} from "../model/plan.ts";
import { whyNotSet } from "../model/reach.ts";
import { symbolOf } from "../model/units.ts";
import { signalOf } from "../state/bridge.ts";
import { type SharedCall, useCall } from "../state/calls.ts";
import { feedOf, live } from "../state/home.ts";
import { useLink } from "../state/links.ts";
import { presenceOf, waysTo } from "../state/reach.ts";
import { ActionForm } from "../tile/form.tsx";
import { Row } from "../tile/tile.tsx";
import { LiveVideo } from "../tile/video.tsx";
import { Icon } from "../ui/icon.tsx";
import { useLazy } from "../ui/lazy.ts";
import { PathWhy, ThingPath } from "../ui/path-badge.tsx";
import { PresenceLine } from "../ui/presence.tsx";
import { Pairs } from "./pairs.tsx";

/** Everything about one thing. */
export function DevicePage({ home, id }: { home: Home; id: string }) {
  const things = signalOf(home.things).value;
  const thing = things.find((one) => one.id === id);
  if (!signalOf(home.ready).value) {
    return <main class="device" aria-busy="true" />;
  }
  return thing === undefined ? <NoSuchThing id={id} /> : <Device home={home} thing={thing} />;
}

function NoSuchThing({ id }: { id: string }) {
  return (
    <main class="empty">
      <Icon node={SearchX} size={40} />
      <h1>No such thing</h1>
      <p>
        The hub knows nothing called <code>{id}</code>.
      </p>
      <a class="button" href="#/">
        Back to the house
      </a>
    </main>
  );
}

function Device({ home, thing }: { home: Home; thing: Thing }) {
  const description = signalOf(thing.description).value;
  const state = presenceOf(thing);
  const why = whyNotSet(waysTo(thing));
  const camera = isCamera(description);
  const properties = propertiesOf(description);
  const readings = properties.filter(({ control }) => control.kind === "reading");
  const rest = properties.filter(({ control }) => control.kind !== "reading");
  const actions = actionsOf(description);
  const files = filesOf(description);
  useLink(thing, isWorthALink(description));
  const heading = useRef<HTMLHeadingElement>(null);
  // A screen reader and the keyboard begin at the new page's title.
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return (
    <main
      class="device"
      data-thing={thing.id}
      data-presence={state}
      data-stale={state === "unknown" || undefined}
      data-testid="device"
    >
      <a class="back" href="#/">
        <Icon node={ArrowLeft} size={18} /> Home
      </a>
      <header class="device-head">
        <span class="glyph large">
          <Icon node={glyphFor(description)} size={28} />
        </span>
        <div>
          <h1 ref={heading} tabIndex={-1}>
            {description.title}
          </h1>
          <p class="device-facts">
            <PresenceLine thing={thing} />
            {!camera && <ThingPath thing={thing} />}
          </p>
          {!camera && <PathWhy thing={thing} />}
        </div>
      </header>
      {description.description !== undefined && <p class="lead">{description.description}</p>}
      <div class="device-columns">
        <div class="column">
          {camera && <LiveVideo thing={thing} />}
          {readings.length > 0 && (
            <div class="readings" data-small={camera || undefined}>
              {readings.map((property) => (
                <ReadingCard key={property.name} thing={thing} property={property} />
              ))}
            </div>
          )}
          {rest.length > 0 && (
            <section class="card" aria-labelledby="properties">
              <h2 id="properties">Properties</h2>
              {!live.value && why !== undefined && (
                <p class="reason" data-testid="reason">
                  <Icon node={Hourglass} size={14} />
                  {why}
                </p>
              )}
              <div class="rows">
                {rest.map((property) => (
                  <Row key={property.name} thing={thing} property={property} />
                ))}
              </div>
            </section>
          )}
        </div>
        <div class="column">
          {(files.takes || files.gives) && <Files thing={thing} />}
          {camera && <CallCard thing={thing} />}
          {actions.length > 0 && (
            <section class="card" aria-labelledby="actions">
              <h2 id="actions">Actions</h2>
              {actions.map((planned) => (
                <ActionForm key={planned.name} thing={thing} planned={planned} />
              ))}
            </section>
          )}
          {description.events !== undefined && Object.keys(description.events).length > 0 && (
            <Feed thing={thing} />
          )}
          <Pairs home={home} thing={thing} />
          <details class="card description">
            <summary>
              <h2>Thing Description</h2>
              <span class="muted">W3C WoT TD 1.1</span>
            </summary>
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard */}
            <pre tabIndex={0}>{JSON.stringify(description, null, 2)}</pre>
          </details>
        </div>
      </div>
    </main>
  );
}

const loadFiles = async () => (await import("../files/card.tsx")).FilesCard;

function Files({ thing }: { thing: Thing }) {
  const FilesCard = useLazy(loadFiles);
  return FilesCard === undefined ? <section class="card" aria-busy="true" /> : <FilesCard thing={thing} />;
}

const WINDOWS = [
  ["10 min", 600_000],
  ["1 h", 3_600_000],
  ["24 h", 86_400_000],
  ["7 d", 7 * 86_400_000],
  ["30 d", 30 * 86_400_000],
] as const;

function ReadingCard({ thing, property }: { thing: Thing; property: PlannedProperty }) {
  const value = useValue(thing, property.name);
  const [window, setWindow] = useState<number>(WINDOWS[0][1]);
  const { schema, title, name } = property;
  return (
    <section class="card reading-card" data-prop={name} aria-label={title}>
      <div class="card-head">
        <div>
          <h2>{title}</h2>
          <p class="reading-now">
            <span class="huge" data-testid="value">
              {typeof value === "number" ? formatNumber(value, schema) : "–"}
            </span>
            <span class="unit">{symbolOf(schema.unit)}</span>
          </p>
        </div>
        <fieldset class="segments" aria-label="Time shown">
          {WINDOWS.map(([words, span]) => (
            <button key={span} type="button" aria-pressed={span === window} onClick={() => setWindow(span)}>
              {words}
            </button>
          ))}
        </fieldset>
      </div>
      <div class="chart-room">
        <Chart thing={thing} property={property} window={window} />
      </div>
    </section>
  );
}

function CallCard({ thing }: { thing: Thing }) {
  const shared = useCall(thing);
  return (
    <section class="card" aria-labelledby="call">
      <h2 id="call">The call</h2>
      {shared !== undefined && <CallFigures shared={shared} />}
    </section>
  );
}

function CallFigures({ shared }: { shared: SharedCall }) {
  const { phase, error } = signalOf(shared.call.state).value;
  const path = shared.path.value;
  const figures = shared.figures.value;
  const facts: readonly (readonly [string, string])[] = [
    ["State", phase],
    ["Path", path?.kind ?? "–"],
    ["Round trip", formatRtt(path?.rttMs)],
    ["Picture", figures === undefined ? "–" : `${figures.width} × ${figures.height}`],
    ["Frames", figures === undefined ? "–" : `${Math.round(figures.framesPerSecond)} per second`],
    ["Rate", figures === undefined ? "–" : formatBitrate(figures.bitsPerSecond)],
    ["Codec", figures?.codec || "–"],
    ["Packets lost", figures === undefined ? "–" : String(figures.packetsLost)],
    ["Jitter", figures === undefined ? "–" : formatRtt(figures.jitterMs)],
    ["Frames dropped", figures === undefined ? "–" : `${figures.framesDropped} of ${figures.framesDecoded}`],
  ];
  return (
    <>
      <p class="muted why" data-testid="why">
        {path?.why ?? error?.message ?? "Looking for a path to the device."}
      </p>
      <dl class="facts" data-testid="call-figures">
        {facts.map(([name, figure]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{figure}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

function Feed({ thing }: { thing: Thing }) {
  const events = feedOf(thing).value;
  const affordances = signalOf(thing.description).value.events ?? {};
  return (
    <section class="card" aria-labelledby="events">
      <h2 id="events">Events</h2>
      {events.length === 0 ? (
        <p class="muted">
          Nothing happened since this page was opened. Waiting for{" "}
          {Object.entries(affordances)
            .map(([name, affordance]) => titleOf(name, affordance).toLowerCase())
            .join(", ")}
          .
        </p>
      ) : (
        <ol class="feed" data-testid="feed" aria-live="polite">
          {events.map((event) => (
            <li key={`${event.timestamp} ${event.name}`} data-event={event.name}>
              <strong>{titleOf(event.name, affordances[event.name] ?? {})}</strong>
              <span>
                {event.data === undefined || event.data === null
                  ? ""
                  : formatValue(event.data, affordances[event.name]?.data ?? {})}
              </span>
              <time dateTime={event.timestamp}>{formatTime(new Date(event.timestamp))}</time>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}
