/** The drawing of a chart: its axes, its line, the band around it, and the word under the pointer. */

import UPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { formatTime, formatValue } from "../model/format.ts";
import type { PlannedProperty } from "../model/plan.ts";

/** Milliseconds of a day; ticks of what is longer are days. */
const DAY = 86_400_000;

export interface PlotOptions {
  readonly property: PlannedProperty;
  /** Without axes. */
  readonly bare: boolean;
  /** Milliseconds that it spans. */
  readonly window: number;
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

/** Return a chart in `element`, in the colours of the page as it is now. */
export function make(element: HTMLElement, { property, bare, window }: PlotOptions): UPlot {
  const { clientWidth: width, clientHeight: height } = element;
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
          values: (_plot, ticks) => ticks.map((tick) => formatTick(new Date(tick * 1000), window)),
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
        // The least and the greatest, where a point stands for several: not drawn themselves.
        { stroke: "transparent", points: { show: false } },
        { stroke: "transparent", points: { show: false } },
      ],
      bands: [{ series: [3, 2], fill: translucent(line, 0.28) }],
      hooks: bare ? {} : { setCursor: [(plot) => readOut(plot, property)] },
    },
    [[], [], [], []],
    element,
  );
}

/** A tick of the time axis: the time of day, or the day where the chart spans several. */
function formatTick(time: Date, window: number): string {
  return window > DAY
    ? time.toLocaleDateString("en-GB", { day: "numeric", month: "short" })
    : time.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
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
    const low = plot.data[2]?.[index ?? 0];
    const high = plot.data[3]?.[index ?? 0];
    const around =
      low != null && high != null && low !== high
        ? ` (${formatValue(low, schema)} to ${formatValue(high, schema)})`
        : "";
    const at = new Date(time * 1000);
    const when = around === "" && low == null ? at.toLocaleTimeString("en-GB") : formatTime(at);
    tip.textContent = `${formatValue(value, schema)}${around}  ·  ${when}`;
  }
}

function fade(plot: UPlot, colour: string): CanvasGradient {
  const { top, height } = plot.bbox;
  const gradient = plot.ctx.createLinearGradient(0, top, 0, top + height);
  gradient.addColorStop(0, translucent(colour, 0.22));
  gradient.addColorStop(1, translucent(colour, 0));
  return gradient;
}

/** `rgb(r g b)`, let through so much of what is below. */
function translucent(colour: string, alpha: number): string {
  return colour.replace(/^rgb\((.*)\)$/, `rgb($1 / ${alpha})`);
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
