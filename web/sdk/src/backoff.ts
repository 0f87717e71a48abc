/** How long to wait before the next attempt: the rule of `docs/protocol.md` section 3, as a pure machine. */

const FIRST = 0.2;
const CAP_EARLY = 2;
const CAP_LATE = 30;
/** Seconds after which the far end is taken to be away for longer. */
const EARLY = 60;

export class Backoff {
  readonly #random: () => number;
  readonly #now: () => number;
  #attempt = 0;
  #since: number | undefined;

  /** `random` gives 0 ≤ r < 1; `now` gives seconds of a clock that does not jump. */
  constructor(random: () => number = Math.random, now: () => number = () => performance.now() / 1000) {
    this.#random = random;
    this.#now = now;
  }

  /** Return seconds to wait, drawn evenly from 0 to min(cap, 0.2 · 2ⁿ). */
  next(): number {
    const now = this.#now();
    this.#since ??= now;
    const cap = now - this.#since < EARLY ? CAP_EARLY : CAP_LATE;
    const bound = Math.min(cap, FIRST * 2 ** this.#attempt);
    this.#attempt += 1;
    return this.#random() * bound;
  }

  /** It worked: begin anew at the next failure. */
  reset(): void {
    this.#attempt = 0;
    this.#since = undefined;
  }
}
