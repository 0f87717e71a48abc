/** Channels that the far end has opened and nobody here has asked for yet. */

import type { Channel } from "./channel.ts";

/** Kept; the oldest are forgotten. */
const MOST = 64;

export class Unclaimed {
  #channels: Channel[] = [];
  #waiting: (() => void)[] = [];

  add(channel: Channel): void {
    this.#channels = [...this.#channels, channel].slice(-MOST);
    this.wake();
  }

  /** Wait for one whose name begins so; `check` throws where none will come any more. */
  async take(prefix: string, check: () => void): Promise<Channel> {
    while (true) {
      const found = this.#channels.find(({ name }) => name.startsWith(prefix));
      if (found !== undefined) {
        this.#channels = this.#channels.filter((each) => each !== found);
        return found;
      }
      check();
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Have all who wait look again. */
  wake(): void {
    for (const resume of this.#waiting.splice(0)) {
      resume();
    }
  }
}
