/** Notices that a picture or sound has stopped coming sooner than the browser does, which takes it 5 s and more. */

import type { Unsubscribe } from "./watched.ts";

/** Milliseconds. */
const LOOK_EVERY = 500;
const SILENT_AFTER = 1_500;

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
  let quiet = false;
  const look = async (): Promise<void> => {
    const packets = received(await peer.getStats());
    const now = performance.now();
    if (packets !== known) {
      known = packets;
      heard = now;
      if (quiet) {
        quiet = false;
        listener.flowing();
      }
    } else if (known > 0 && !quiet && now - heard > SILENT_AFTER) {
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
