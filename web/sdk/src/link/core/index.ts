/** A link without a clock and without I/O, for whoever has a path of their own. */

export type { Ended, Fault, LinkEvent, Opened, Received } from "./events.ts";
export * as frames from "./frames.ts";
export { Link, type SendOptions, VERSION } from "./link.ts";
export { type Lane, PACKET } from "./schedule.ts";
