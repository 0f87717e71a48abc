/** Times of the wire, compared. */

/**
 * Return an RFC 3339 time in µs since 1970: the finest that devices tell, by which two reports are told apart. A hub may
 * write the same moment otherwise than the device has.
 */
export function microseconds(timestamp: string): number {
  const fraction = /\.(\d+)/.exec(timestamp)?.[1] ?? "";
  const whole = Date.parse(timestamp.replace(/\.\d+/, ""));
  return whole * 1000 + Number(fraction.slice(0, 6).padEnd(6, "0"));
}
