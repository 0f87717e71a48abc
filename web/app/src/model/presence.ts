/** How many things are there, away, and asleep, in words. */

import type { Presence } from "@plait/sdk";
import { formatUntil } from "./format.ts";

/** "4 things: 2 online, 1 offline, 1 asleep (next wake in 3 min)"; `now` in ms. */
export function countPresence(presences: readonly Presence[], now: number): string {
  const count = (state: Presence["state"]) => presences.filter((one) => one.state === state).length;
  const all = `${presences.length} ${presences.length === 1 ? "thing" : "things"}`;
  const asleep = count("asleep");
  if (count("online") === presences.length) {
    return `${all}, all online`;
  }
  const wakes = presences.flatMap(({ state, until }) =>
    state === "asleep" && until !== undefined ? [Date.parse(until)] : [],
  );
  const wake = wakes.length > 0 ? ` (next wake ${formatUntil(Math.min(...wakes), now)})` : "";
  const parts = [
    `${count("online")} online`,
    ...(count("offline") > 0 ? [`${count("offline")} offline`] : []),
    ...(asleep > 0 ? [`${asleep} asleep${wake}`] : []),
  ];
  return `${all}: ${parts.join(", ")}`;
}

/** "3 things: 2 reached directly", while the hub is away. */
export function countReached(things: number, reached: number): string {
  const all = `${things} ${things === 1 ? "thing" : "things"}`;
  return reached === 0
    ? `${all}, not known without the hub`
    : `${all}, ${reached === things ? (things === 1 ? "" : "all ") : `${reached} `}reached directly`;
}
