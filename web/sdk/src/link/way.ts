/** The path of a link in words: which it is, and why it is that one. */

import type { Path } from "../path.ts";
import { SILENT } from "./better.ts";
import type { Link } from "./link.ts";

/** Whether the thing answers on a direct path now, whatever carries the link. */
export function answersDirectly(link: Link): boolean {
  const direct = link.paths.find(({ name }) => name === "direct");
  return direct?.open === true && (direct.silent ?? 0) <= SILENT;
}

/** Return the path that carries a link now; undefined while there is none. */
export function wayOf(link: Link): Path | undefined {
  const { name, reason } = link.path.value;
  const state = link.paths.find((path) => path.name === name);
  if (name === undefined || state === undefined) {
    return undefined;
  }
  const rttMs = state.rtt;
  const moved = link.moved.value;
  if (name === "direct") {
    const how = state.relayed ? "Directly, through a relay" : "Straight to the device";
    const why = /^direct( through a relay)?(,| is open$)/.test(reason) ? moved?.reason : reason;
    return { kind: state.relayed ? "relayed" : "direct", rttMs, why: `${how}: ${why ?? reason}` };
  }
  const direct = link.paths.find((path) => path.name === "direct");
  const why = !/^hub(,| is open$)/.test(reason)
    ? reason
    : moved?.from === "direct"
      ? moved.reason
      : direct?.open
        ? "direct is open, and not better"
        : "no direct path is open";
  return { kind: "hub", rttMs, why: `Through the hub: ${why}` };
}
