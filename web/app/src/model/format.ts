/** Values, times and figures as people read them. */

import type { DataSchema } from "@plait/sdk";
import { sticks, symbolOf } from "./units.ts";

/** Narrow no-break space, between a number and its unit. */
const THIN = "\u202f";

/** Decimals that a number of this schema deserves. */
function decimals(value: number, schema: DataSchema): number {
  if (schema.type === "integer" || Number.isInteger(value)) {
    return schema.type === "number" && schema.multipleOf !== undefined ? places(schema.multipleOf) : 0;
  }
  if (schema.multipleOf !== undefined) {
    return places(schema.multipleOf);
  }
  const size = Math.abs(value);
  return size >= 1000 ? 0 : size >= 0.1 ? 1 : 3;
}

function places(step: number): number {
  const text = String(step);
  return text.includes("e-") ? Number(text.split("e-")[1]) : (text.split(".")[1]?.length ?? 0);
}

/** Return a number without its unit. A measured number keeps one decimal, so that it does not jump about. */
export function formatNumber(value: number, schema: DataSchema): string {
  const digits =
    schema.type === "number" && schema.multipleOf === undefined && Math.abs(value) < 1000
      ? Math.max(1, decimals(value, schema))
      : decimals(value, schema);
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Return a value with its unit, on one line. */
export function formatValue(value: unknown, schema: DataSchema): string {
  if (value === undefined || value === null || value === "") {
    return "–";
  }
  const symbol = symbolOf(schema.unit);
  const unit = symbol === "" ? "" : sticks(symbol) ? symbol : THIN + symbol;
  switch (typeof value) {
    case "boolean":
      return isPower(schema) ? (value ? "On" : "Off") : value ? "Yes" : "No";
    case "number":
      return formatNumber(value, schema) + unit;
    case "string":
      return (labelOf(value, schema) ?? (schema.enum === undefined ? value : humanize(value))) + unit;
    default:
      return JSON.stringify(value);
  }
}

/** Return a number of bytes: "812 B", "1.2 MB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "KB", "MB", "GB"];
  let size = bytes;
  while (size >= 999.5 && units.length > 1) {
    size /= 1000;
    units.shift();
  }
  const digits = units[0] === "B" || size >= 100 ? 0 : 1;
  return `${size.toFixed(digits)}${THIN}${units[0]}`;
}

/** Whether a boolean means that something runs, rather than that something is so. */
export function isPower(schema: DataSchema): boolean {
  return (
    schema.type === "boolean" &&
    /^(on|power|switch|light|enabled|active|running)\b/i.test(schema.title ?? "on")
  );
}

/** Return a boolean as a state that stands alone: "On", "Locked", "Not locked". */
export function formatState(value: unknown, schema: DataSchema): string {
  const title = schema.title ?? "";
  if (typeof value !== "boolean" || isPower(schema)) {
    return formatValue(value, schema);
  }
  return value ? title : `Not ${title.charAt(0).toLowerCase()}${title.slice(1)}`;
}

/** The title that a `oneOf` of constants gives this value. */
export function labelOf(value: unknown, schema: DataSchema): string | undefined {
  return schema.oneOf?.find((option) => option.const === value)?.title;
}

/** "times_left" or "timesLeft" as a title. */
export function humanize(name: string): string {
  const words = name
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replaceAll(/[_\-.]+/g, " ")
    .trim()
    .toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Return a round trip: "3 ms", "0.4 ms", "1.2 s". */
export function formatRtt(milliseconds: number | undefined): string {
  if (milliseconds === undefined) {
    return "– ms";
  }
  if (milliseconds >= 1000) {
    return `${(milliseconds / 1000).toFixed(1)} s`;
  }
  return milliseconds >= 1
    ? `${Math.round(milliseconds)} ms`
    : `${Math.max(0.1, milliseconds).toFixed(1)} ms`;
}

/** Return a bit rate: "840 kbit/s", "2.4 Mbit/s". */
export function formatBitrate(bitsPerSecond: number): string {
  return bitsPerSecond >= 1e6
    ? `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s`
    : `${Math.round(bitsPerSecond / 1e3)} kbit/s`;
}

/** Return a time of day, with the date where it is not today's. */
export function formatTime(time: Date, now: Date = new Date()): string {
  const clock = time.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  return time.toDateString() === now.toDateString()
    ? clock
    : `${time.toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, ${clock}`;
}

/** Return how long it is until a time: "in 5 s", "in 3 min"; "now" once it is there. */
export function formatUntil(time: number, now: number): string {
  const seconds = Math.round((time - now) / 1000);
  if (seconds < 1) {
    return "now";
  }
  if (seconds < 60) {
    return `in ${seconds} s`;
  }
  return seconds < 3600
    ? `in ${Math.round(seconds / 60)} min`
    : `at ${formatTime(new Date(time), new Date(now))}`;
}

/** Return how long ago a time was: "now", "5 s ago", "3 min ago"; beyond an hour the time itself. */
export function formatAgo(time: number, now: number): string {
  const seconds = Math.max(0, Math.round((now - time) / 1000));
  if (seconds < 2) {
    return "now";
  }
  if (seconds < 60) {
    return `${seconds} s ago`;
  }
  return seconds < 3600 ? `${Math.round(seconds / 60)} min ago` : formatTime(new Date(time), new Date(now));
}

/** Return seconds as the largest unit that divides them: "24 h", "90 min", "7 d" of two days and more. */
export function formatDuration(seconds: number): string {
  const units = [
    [86_400, "d", 172_800],
    [3_600, "h", 3_600],
    [60, "min", 60],
  ] as const;
  const fits = units.find(([size, , least]) => seconds >= least && seconds % size === 0);
  return fits === undefined ? `${seconds} s` : `${seconds / fits[0]} ${fits[1]}`;
}
