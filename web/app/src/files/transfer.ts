/** One file on its way, to a thing or from it, as the page shows it. */

import { type ReadonlySignal, signal } from "@preact/signals";
import { formatBytes } from "../model/format.ts";

/** Milliseconds between two changes of a progress bar. */
const SHOW_EVERY = 100;

export type Phase =
  /** Another file goes first. */
  | { readonly kind: "queued" }
  /** Its SHA-256 is taken. */
  | { readonly kind: "measuring" }
  | { readonly kind: "moving" }
  /** The link is lost; it goes on by itself where it stopped. */
  | { readonly kind: "waiting"; readonly why: string }
  /** `file`: what came. */
  | { readonly kind: "done"; readonly file?: File }
  | { readonly kind: "failed"; readonly why: string }
  | { readonly kind: "cancelled" };

let next = 1;

export class Transfer {
  readonly id = next++;
  readonly name: string;
  readonly size: number;
  /** From this browser to the thing, or the other way. */
  readonly direction: "out" | "in";
  readonly phase = signal<Phase>({ kind: "queued" });
  /** Bytes a second, smoothed; 0 while it is not known. */
  readonly rate = signal(0);
  readonly #done = signal(0);
  #controller = new AbortController();
  #shown = 0;
  #mark: { readonly at: number; readonly done: number } | undefined;

  constructor(direction: "out" | "in", name: string, size: number) {
    this.direction = direction;
    this.name = name;
    this.size = size;
  }

  /** Bytes that have arrived. */
  get done(): ReadonlySignal<number> {
    return this.#done;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get active(): boolean {
    return !["done", "failed", "cancelled"].includes(this.phase.value.kind);
  }

  cancel(): void {
    if (this.active) {
      this.#controller.abort();
      this.phase.value = { kind: "cancelled" };
    }
  }

  /** Enter a phase, unless it was cancelled meanwhile. */
  become(phase: Phase): void {
    if (!this.signal.aborted) {
      this.phase.value = phase;
      this.#mark = undefined;
      this.rate.value = 0;
    }
  }

  /** Note how far it is; shown ten times a second. */
  readonly progress = (done: number): void => {
    const now = performance.now();
    if (now - this.#shown < SHOW_EVERY && done !== this.size && done !== 0) {
      return;
    }
    if (this.#mark !== undefined && now > this.#mark.at) {
      const rate = Math.max(0, ((done - this.#mark.done) / (now - this.#mark.at)) * 1000);
      this.rate.value = this.rate.value === 0 ? rate : 0.8 * this.rate.value + 0.2 * rate;
    }
    this.#mark = { at: now, done };
    this.#shown = now;
    this.#done.value = done;
  };

  /** Its state in words. */
  words(): string {
    const size = formatBytes(this.size);
    const phase = this.phase.value;
    switch (phase.kind) {
      case "queued":
        return `${size}, waits for its turn`;
      case "measuring":
        return `${size}, is read to be checked`;
      case "moving": {
        const rate = this.rate.value > 0 ? ` · ${formatBytes(this.rate.value)}/s` : "";
        return `${formatBytes(this.done.value)} of ${size}${rate}`;
      }
      case "waiting":
        return `${formatBytes(this.done.value)} of ${size}. ${phase.why}. It goes on where it stopped ${this.direction === "out" ? "by itself" : "when it is sent again"}.`;
      case "done":
        return `${size}, ${this.direction === "out" ? "sent" : "received"} and checked`;
      case "failed":
        return phase.why;
      case "cancelled":
        return "Cancelled";
    }
  }
}
