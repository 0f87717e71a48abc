/**
 * Which of a link's paths is better, and why: one function, without clock or memory of its own. The rule is that of
 * `src/plait/wire/path.py`; `vectors/path.json` holds both to it. Times are in ms.
 */

/** Without an answer for so long, a path is left for one that answers. */
export const SILENT = 1_000;
/**
 * For so long a path that had failed must have worked before it carries the link again; doubled with each failure, up
 * to `LONGEST_PROBATION`.
 */
const PROBATION = 2_000;
const LONGEST_PROBATION = 60_000;
/** Share of probes lost from which on a path is taken for bad. */
const LOSSY = 0.2;
/** How many times longer a direct round trip may be than the hub's; and back below once it is as long. */
const MARGIN = 1.5;
/** A round trip may be longer than that by this, all the same: a few milliseconds are no reason. */
const SLACK = 30;

export type PathName = "hub" | "direct";

/** What is known of one path. */
export interface PathState {
  readonly name: PathName;
  /** Packets can be sent. */
  readonly open: boolean;
  /** There and back, smoothed; undefined while nothing was answered. */
  readonly rtt?: number | undefined;
  /** Share of the last probes that were not answered, 0 to 1. */
  readonly loss?: number;
  /** Since the oldest probe that is not answered; 0 where all are. */
  readonly silent?: number;
  /** Since it has opened, or began to answer again. */
  readonly goodFor?: number;
  /** How often it broke or fell silent while it carried the link. */
  readonly failures?: number;
  /** A TURN server is between. */
  readonly relayed?: boolean;
}

/** Which path is to carry the link. */
export interface Choice {
  /** Undefined where none is open. */
  readonly name: PathName | undefined;
  /** For people. */
  readonly reason: string;
}

/** Return which path is to carry the link now; `current` is what carries it, undefined at the beginning. */
export function better(paths: readonly PathState[], current?: PathName): Choice {
  const usable = paths.filter(({ open }) => open);
  const now = usable.find(({ name }) => name === current);
  if (now === undefined) {
    // The one that cannot be left for the other.
    const first = usable.find(({ name }) => name !== "direct") ?? usable[0];
    if (first === undefined) {
      return { name: undefined, reason: "no path is open" };
    }
    const reason = current === undefined ? "it is there first" : `${current} is closed`;
    return { name: better(paths, first.name).name, reason };
  }
  for (const other of usable) {
    const reason = other === now ? "" : reasonToLeave(now, other);
    if (reason !== "") {
      return { name: other.name, reason };
    }
  }
  return { name: now.name, reason: fault(now) || praise(now) };
}

function reasonToLeave(now: PathState, other: PathState): string {
  if (badness(other) !== badness(now)) {
    // What has never answered is no refuge, unless there is little to lose.
    const known = other.rtt !== undefined || (now.silent ?? 0) > 2 * SILENT;
    return known && badness(other) < badness(now) ? fault(now) : "";
  }
  if (now.rtt === undefined || other.rtt === undefined || badness(now) > 0) {
    return "";
  }
  if (other.name !== "direct") {
    const slow = now.rtt > MARGIN * other.rtt + SLACK;
    return slow ? `${now.name} takes ${inMs(now.rtt)}, ${other.name} ${inMs(other.rtt)}` : "";
  }
  const failures = other.failures ?? 0;
  const trial = failures > 0 ? Math.min(LONGEST_PROBATION, PROBATION * 2 ** (failures - 1)) : 0;
  if ((other.goodFor ?? 0) < trial || other.rtt > now.rtt + SLACK) {
    return "";
  }
  return `direct is open, ${inMs(other.rtt)}`;
}

function badness({ silent = 0, loss = 0 }: PathState): number {
  return silent > SILENT ? 2 : loss > LOSSY ? 1 : 0;
}

function fault({ name, silent = 0, loss = 0 }: PathState): string {
  if (silent > SILENT) {
    return `${name} has not answered for ${(silent / 1000).toFixed(1)} s`;
  }
  return loss > LOSSY ? `${name} loses ${(loss * 100).toFixed(0)}%` : "";
}

function praise({ name, relayed = false, rtt }: PathState): string {
  const way = relayed ? " through a relay" : "";
  return rtt === undefined ? `${name}${way} is open` : `${name}${way}, ${inMs(rtt)}`;
}

function inMs(rtt: number): string {
  return `${rtt.toFixed(0)} ms`;
}
