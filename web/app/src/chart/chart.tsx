import type { Thing } from "@plait/sdk";
import { effect, untracked, useSignalEffect } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type UPlot from "uplot";
import { formatValue } from "../model/format.ts";
import type { PlannedProperty } from "../model/plan.ts";
import { clock, live, view } from "../state/home.ts";
import { presenceOf } from "../state/reach.ts";
import { isDark } from "../state/theme.ts";
import { make } from "./plot.ts";
import { type Columns, Series } from "./series.ts";

export interface ChartProps {
  readonly thing: Thing;
  readonly property: PlannedProperty;
  /** Milliseconds. */
  readonly window: number;
  /** Without axes. */
  readonly bare?: boolean;
}

/** A chart that moves with the clock: the window's past from the hub, then each report as it comes. */
export function Chart({ thing, property, window, bare = false }: ChartProps) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | undefined>(undefined);
  const home = view.value.kind === "home" ? view.value.home : undefined;
  const series = useMemo(
    () => (home === undefined ? undefined : new Series(home, thing, property.name, window)),
    [home, thing, property.name, window],
  );
  useEffect(() => () => series?.close(), [series]);

  const now = (): number => home?.now() ?? Date.now();
  const drawAll = (target: UPlot, columns: Columns): void => {
    // What a device said holds until it says something else, as long as it is there.
    const online = untracked(() => presenceOf(thing)) === "online";
    const said = thing.values.value[property.name]?.value;
    const shown = online ? hold(columns, said, now(), window) : columns;
    draw(target, shown, now(), spanOf(columns.times, now(), window, bare));
  };

  useEffect(() => {
    const element = host.current;
    if (element === null) {
      return;
    }
    // Colours are read from the page, so another theme means another plot.
    const stop = effect(() => {
      isDark();
      const before = plot.current;
      plot.current = make(element, { property, bare, window });
      before?.destroy();
      if (series !== undefined) {
        drawAll(plot.current, series.columns.peek());
      }
    });
    const observer = new ResizeObserver(() => {
      plot.current?.setSize({ width: element.clientWidth, height: element.clientHeight });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      stop();
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [series, property.name, bare, window]);

  useSignalEffect(() => {
    const columns = series?.columns.value;
    // Moves on with the clock, also while no report comes.
    clock.value;
    if (plot.current !== undefined && columns !== undefined) {
      drawAll(plot.current, columns);
    }
  });

  const columns = series?.columns.value;
  return (
    <>
      <div
        ref={host}
        class="chart"
        role="img"
        data-testid="chart"
        data-points={columns?.times.length ?? 0}
        aria-label={describe(property, columns, window)}
      />
      {!bare && !live.value && series?.hasPast.value === false && (
        <p class="reason chart-reason" data-testid="chart-reason">
          The past comes from the hub, which is away.
        </p>
      )}
    </>
  );
}

function describe({ title, schema }: PlannedProperty, columns: Columns | undefined, window: number): string {
  const span = formatSpan(window);
  if (columns === undefined || columns.values.length === 0) {
    return `${title}, last ${span}: no readings yet`;
  }
  const least = formatValue(Math.min(...(columns.low ?? columns.values)), schema);
  const most = formatValue(Math.max(...(columns.high ?? columns.values)), schema);
  return `${title}, last ${span}: between ${least} and ${most}, now ${formatValue(columns.values.at(-1), schema)}`;
}

/** "10 min", "24 h", "7 d". */
function formatSpan(window: number): string {
  const hours = window / 3_600_000;
  return hours > 24 ? `${hours / 24} d` : hours >= 1 ? `${hours} h` : `${window / 60_000} min`;
}

/** Return the columns with the last value drawn on to the present; alone, it fills the window. */
function hold(columns: Columns, value: unknown, now: number, window: number): Columns {
  const { times, values, low, high } = columns;
  const last = values.at(-1) ?? (typeof value === "number" ? value : undefined);
  if (last === undefined) {
    return columns;
  }
  if (times.length === 0) {
    return { times: [(now - window) / 1000, now / 1000], values: [last, last] };
  }
  return {
    times: [...times, Math.max(now / 1000, times.at(-1) ?? 0)],
    values: [...values, last],
    ...(low === undefined ? {} : { low: [...low, last] }),
    ...(high === undefined ? {} : { high: [...high, last] }),
  };
}

/** A chart without axes fills its width soon: it spans what there is, from a minute up to its window. */
const LEAST_SPAN = 60_000;

function spanOf(times: readonly number[], now: number, window: number, bare: boolean): number {
  const known = now - (times[0] ?? 0) * 1000;
  return bare ? Math.min(window, Math.max(LEAST_SPAN, known)) : window;
}

function draw(plot: UPlot, columns: Columns, now: number, window: number): void {
  const { times, values, low = times.map(() => null), high = times.map(() => null) } = columns;
  plot.batch(() => {
    plot.setData([[...times], [...values], [...low], [...high]], false);
    plot.setScale("x", { min: (now - window) / 1000, max: now / 1000 });
  });
}
