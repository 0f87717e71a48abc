/** Over any course of losses and breaks, what one side sends the other receives: all of it, once, in order. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Message } from "../src/messages.ts";
import { SequenceGap, Session } from "../src/session.ts";

type Move = "send" | "deliver" | "lose" | "settle" | "acknowledge" | "break" | "anew";

const moves = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.constant<Move>("send") },
    { weight: 6, arbitrary: fc.constant<Move>("deliver") },
    { weight: 1, arbitrary: fc.constant<Move>("lose") },
    { weight: 4, arbitrary: fc.constant<Move>("settle") },
    { weight: 3, arbitrary: fc.constant<Move>("acknowledge") },
    { weight: 1, arbitrary: fc.constant<Move>("break") },
    { weight: 1, arbitrary: fc.constant<Move>("anew") },
  ),
  { maxLength: 200 },
);

/** One direction: `a` sends, `b` receives and acknowledges. */
class Line {
  a = new Session("s-0");
  b = new Session("s-0");
  sent = 0;
  readonly taken: number[] = [];
  #wire: Message[] = [];
  /** Received and not settled yet: a client may settle in any order. */
  #open: number[] = [];
  #sessions = 0;

  play(move: Move): void {
    switch (move) {
      case "send":
        this.#wire.push(
          this.a.send({ messageType: "notification", operation: "observeproperty", value: this.sent }),
        );
        this.sent += 1;
        break;
      case "deliver":
        this.#deliver();
        break;
      case "lose":
        this.#wire.shift();
        break;
      case "settle": {
        const seq = this.#open.pop();
        if (seq !== undefined) {
          this.b.settled(seq);
        }
        break;
      }
      case "acknowledge": {
        const ack = this.b.acknowledgement();
        if (ack !== undefined) {
          this.a.receive(ack);
        }
        break;
      }
      case "break":
        this.resume();
        break;
      case "anew":
        this.#anew();
    }
  }

  resume(): void {
    this.#wire = this.a.resume(this.b.ack);
  }

  /** The receiver forgot the session, but kept what it had settled; what it had not settled comes again. */
  #anew(): void {
    for (const seq of this.#open.splice(0)) {
      this.b.settled(seq);
    }
    const { ack } = this.b;
    this.#sessions += 1;
    const id = `s-${this.#sessions}`;
    this.#wire = this.a.renumber(id, ack);
    this.b = new Session(id);
  }

  #deliver(): void {
    const message = this.#wire.shift();
    if (message === undefined) {
      return;
    }
    try {
      if (this.b.receive(message)) {
        this.taken.push(message.value as number);
        this.#open.push(message.seq ?? 0);
      }
    } catch (error) {
      if (!(error instanceof SequenceGap)) {
        throw error;
      }
      this.resume();
    }
  }

  finish(): void {
    this.resume();
    for (let left = this.sent + 1; left > 0; left -= 1) {
      this.#deliver();
    }
  }
}

describe("a session", () => {
  it("loses nothing, doubles nothing and keeps the order", () => {
    fc.assert(
      fc.property(moves, (course) => {
        const line = new Line();
        for (const move of course) {
          line.play(move);
          expect(line.b.ack).toBeLessThanOrEqual(line.b.received);
          expect(line.a.acked).toBeLessThanOrEqual(line.b.ack);
        }
        line.finish();
        expect(line.taken).toEqual(Array.from({ length: line.sent }, (_, index) => index));
      }),
      { numRuns: 300 },
    );
  });

  it("keeps no more than its limit, and counts down exactly", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ maxLength: 60 }), { maxLength: 60 }),
        fc.integer({ min: 0, max: 70 }),
        (texts, ack) => {
          const session = new Session("s", 2000);
          for (const value of texts) {
            try {
              session.send({ messageType: "notification", operation: "observeproperty", value });
            } catch (error) {
              expect(error).toMatchObject({ code: "session-lost", retry: true });
            }
            expect(session.buffered).toBeLessThanOrEqual(2000);
          }
          session.resume(ack);
          const kept = session.unacknowledged().map(({ seq: _, ...message }) => JSON.stringify(message));
          expect(session.buffered).toBe(kept.reduce((sum, text) => sum + Buffer.byteLength(text), 0));
          session.resume(session.sent);
          expect(session.buffered).toBe(0);
        },
      ),
    );
  });
});
