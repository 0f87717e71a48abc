import type { Thing } from "@plait/sdk";
import { effect, useSignalEffect } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import UPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { formatTime, formatValue } from "../model/format.ts";
import type { PlannedProperty } from "../model/plan.ts";
import { clock, view } from "../state/home.ts";
import { isDark } from "../state/theme.ts";
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
    const online = thing.presence.value.state === "online";
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
      const { clientWidth: width, clientHeight: height } = element;
      const before = plot.current;
      plot.current = make(element, width, height, property, bare);
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
    <div
      ref={host}
      class="chart"
      role="img"
      data-testid="chart"
      data-points={columns?.times.length ?? 0}
      aria-label={describe(property, columns, window)}
    />
  );
}

function describe({ title, schema }: PlannedProperty, columns: Columns | undefined, window: number): string {
  const span = window >= 3_600_000 ? `${window / 3_600_000} h` : `${window / 60_000} min`;
  if (columns === undefined || columns.values.length === 0) {
    return `${title}, last ${span}: no readings yet`;
  }
  const least = formatValue(Math.min(...columns.values), schema);
  const most = formatValue(Math.max(...columns.values), schema);
  return `${title}, last ${span}: between ${least} and ${most}, now ${formatValue(columns.values.at(-1), schema)}`;
}

/** Return the columns with the last value drawn on to the present; alone, it fills the window. */
function hold({ times, values }: Columns, value: unknown, now: number, window: number): Columns {
  const last = values.at(-1) ?? (typeof value === "number" ? value : undefined);
  if (last === undefined) {
    return { times, values };
  }
  return times.length === 0
    ? { times: [(now - window) / 1000, now / 1000], values: [last, last] }
    : { times: [...times, Math.max(now / 1000, times.at(-1) ?? 0)], values: [...values, last] };
}

/** A chart without axes fills its width soon: it spans what there is, from a minute up to its window. */
const LEAST_SPAN = 60_000;

function spanOf(times: readonly number[], now: number, window: number, bare: boolean): number {
  const known = now - (times[0] ?? 0) * 1000;
  return bare ? Math.min(window, Math.max(LEAST_SPAN, known)) : window;
}

function draw(plot: UPlot, { times, values }: Columns, now: number, window: number): void {
  plot.batch(() => {
    plot.setData([[...times], [...values]], false);
    plot.setScale("x", { min: (now - window) / 1000, max: now / 1000 });
  });
}

/** Keep a little air around the line, and do not blow noise up to the full height. */
function rangeFor({ schema }: PlannedProperty): UPlot.Range.Function {
  return (_plot, min, max) => {
    if (min === null || max === null) {
      return [0, 1];
    }
    const least = schema.type === "integer" ? 4 : Math.max(Math.abs(min), Math.abs(max)) * 0.01 || 1;
    const air = Math.max((max - min) * 0.15, (least - (max - min)) / 2);
    // What is never negative does not look as if it could be.
    return [min >= 0 ? Math.max(0, min - air) : min - air, max + air];
  };
}

function make(
  element: HTMLElement,
  width: number,
  height: number,
  property: PlannedProperty,
  bare: boolean,
): UPlot {
  const styles = getComputedStyle(element);
  const colour = (name: string): string => resolve(element, name);
  const line = colour("--chart-line");
  const quiet = colour("--ink-3");
  const grid = { stroke: colour("--line"), width: 1 };
  const font = `500 12px ${styles.fontFamily}`;
  const axes: UPlot.Axis[] = bare
    ? [{ show: false }, { show: false }]
    : [
        {
          stroke: quiet,
          font,
          grid: { show: false },
          ticks: { show: false },
          size: 30,
          space: 80,
          values: (_plot, ticks) => ticks.map((tick) => formatTime(new Date(tick * 1000))),
        },
        {
          stroke: quiet,
          font,
          grid,
          ticks: { show: false },
          size: 58,
          space: 40,
          values: (_plot, ticks) =>
            ticks.map((tick) => tick.toLocaleString("en", { maximumFractionDigits: 2 })),
        },
      ];
  return new UPlot(
    {
      width,
      height,
      padding: bare ? [4, 0, 0, 0] : [12, 12, 0, 0],
      legend: { show: false },
      cursor: { show: !bare, y: false, points: { size: 9 } },
      scales: { x: { time: true, auto: false }, y: { range: rangeFor(property) } },
      axes,
      series: [
        {},
        {
          label: property.title,
          stroke: line,
          width: 2,
          points: { show: false },
          // Whole numbers jump; they have nothing in between.
          ...(property.schema.type === "integer" && UPlot.paths.stepped
            ? { paths: UPlot.paths.stepped({ align: 1 }) }
            : {}),
          fill: (plot) => fade(plot, line),
        },
      ],
      hooks: bare ? {} : { setCursor: [(plot) => readOut(plot, property)] },
    },
    [[], []],
    element,
  );
}

/** Say the value under the pointer in the chart's corner. */
function readOut(plot: UPlot, { schema }: PlannedProperty): void {
  const index = plot.cursor.idx;
  const time = index == null ? undefined : plot.data[0][index];
  const value = index == null ? undefined : plot.data[1]?.[index];
  let tip = plot.over.querySelector<HTMLElement>(".chart-tip");
  if (tip === null) {
    tip = document.createElement("div");
    tip.className = "chart-tip";
    plot.over.append(tip);
  }
  const shown = time !== undefined && value != null && (plot.cursor.left ?? -1) >= 0;
  tip.hidden = !shown;
  if (shown) {
    const clockTime = new Date(time * 1000).toLocaleTimeString("en-GB");
    tip.textContent = `${formatValue(value, schema)}  ·  ${clockTime}`;
  }
}

function fade(plot: UPlot, colour: string): CanvasGradient {
  const { top, height } = plot.bbox;
  const gradient = plot.ctx.createLinearGradient(0, top, 0, top + height);
  gradient.addColorStop(0, colour.replace(/^rgb\((.*)\)$/, "rgb($1 / 0.22)"));
  gradient.addColorStop(1, colour.replace(/^rgb\((.*)\)$/, "rgb($1 / 0)"));
  return gradient;
}

/** A custom property as `rgb(r g b)`, whatever notation the style sheet uses. */
function resolve(element: HTMLElement, name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d");
  if (context === null) {
    return color;
  }
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha = 255] = context.getImageData(0, 0, 1, 1).data;
  return alpha === 255 ? `rgb(${red} ${green} ${blue})` : color;
}
