/** Notices that a picture or sound has stopped coming sooner than the browser does, which takes it 5 s and more. */

import type { Unsubscribe } from "./watched.ts";

/** Milliseconds. */
const LOOK_EVERY = 250;
const SILENT_AFTER = 1_000;
/** A camera of few frames a second is not silent between two of them: so many usual pauses must pass. */
const PAUSES = 3;
/** Milliseconds; a longer pause was a break. */
const LONGEST_PAUSE = 4_000;

export interface SilenceListener {
  /** Once for each silence. */
  readonly silent: () => void;
  /** Once something comes again. */
  readonly flowing: () => void;
}

/** Watch the packets of a connection's media until the returned function is called; without media nothing is told. */
export function watchSilence(peer: RTCPeerConnection, listener: SilenceListener): Unsubscribe {
  let known = 0;
  let heard = 0;
  let usual = 0;
  let quiet = false;
  const look = async (): Promise<void> => {
    const packets = received(await peer.getStats());
    const now = performance.now();
    if (packets !== known) {
      const pause = now - heard;
      usual = known > 0 && pause < LONGEST_PAUSE ? Math.max(pause, usual * 0.8) : usual;
      known = packets;
      heard = now;
      if (quiet) {
        quiet = false;
        listener.flowing();
      }
    } else if (known > 0 && !quiet && now - heard > Math.max(SILENT_AFTER, PAUSES * usual)) {
      quiet = true;
      listener.silent();
    }
  };
  // A connection that closes meanwhile has no statistics.
  const timer = setInterval(() => void look().catch(() => {}), LOOK_EVERY);
  return () => clearInterval(timer);
}

function received(reports: RTCStatsReport): number {
  let packets = 0;
  for (const report of reports.values() as Iterable<Record<string, unknown>>) {
    if (report.type === "inbound-rtp" && typeof report.packetsReceived === "number") {
      packets += report.packetsReceived;
    }
  }
  return packets;
}
