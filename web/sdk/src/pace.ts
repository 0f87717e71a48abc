/**
 * How often, and how large, a viewer asks for still pictures where no video reaches it. The twin of
 * `src/plait/wire/pace.py`, where the figures are explained.
 */

export const WIDTH = 960;
const LARGEST = 65_536;
const SMALLEST = 4_096;
const FIRST = 20_480;
/** Seconds. */
const EVERY = 0.3;
/** Bytes a second. */
const RATE = 98_304;
const SLOW = 1.5;
const LATE = 0.6;
const QUICK = 0.25;

export class Pace {
  /** Bytes that the next picture may have. */
  size = FIRST;
  /** Seconds until the next question. */
  wait = 0;
  #quickest = Number.POSITIVE_INFINITY;

  /** A picture of so many bytes came so many seconds after it was asked for. */
  came(size: number, seconds: number): void {
    this.#quickest = Math.min(this.#quickest, seconds);
    const late = seconds - this.#quickest;
    if (seconds > SLOW || late > LATE) {
      this.size = Math.max(SMALLEST, Math.floor(this.size * 0.6));
    } else if (late < QUICK && seconds < SLOW / 2) {
      this.size = Math.min(LARGEST, Math.floor(this.size * 1.25));
    }
    this.wait = Math.max(0, Math.max(EVERY, size / RATE) - seconds);
  }
}
