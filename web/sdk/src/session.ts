/**
 * One side of a session, without I/O (`docs/protocol.md` section 3): it numbers what is sent and keeps it until
 * it is acknowledged, recognises what was already received, and says what to send again after a break.
 *
 *     send ──▶ kept (seq 1, 2, 3 …) ──▶ ack ≤ n from the other side ──▶ forgotten
 *     receive ──▶ seen once, in order ──▶ settled (handed over for good) ──▶ our ack
 */

import { PlaitError } from "./errors.ts";
import { type Message, SESSION_OPERATIONS, type Welcome } from "./messages.ts";

/** At most so many encoded bytes may wait to be acknowledged. */
export const SESSION_LIMIT = 8 << 20;

/** The far end skipped a number: the connection is to be closed with code 4002 and resumed. */
export class SequenceGap extends Error {
  readonly expected: number;
  readonly got: number;

  constructor(expected: number, got: number) {
    super(`expected message ${expected}, got ${got}`);
    this.name = "SequenceGap";
    this.expected = expected;
    this.got = got;
  }
}

interface Kept {
  readonly message: Message;
  readonly size: number;
}

const encoder = new TextEncoder();

const OF_A_SESSION: ReadonlySet<string> = new Set(["signal", "link", "endlink"]);

/** What belonged to the old session alone is not carried into a new one. */
function belongsToSession(message: Message): boolean {
  return message.messageType === "response" || OF_A_SESSION.has(message.operation);
}

export class Session {
  /** The hub's name for it; empty until the first welcome. */
  id: string;
  readonly #limit: number;
  /** All of acked + 1 … sent, so that a message's place tells its number. */
  #kept: Kept[] = [];
  #buffered = 0;
  #sent = 0;
  #acked = 0;
  #received = 0;
  #ack = 0;
  #told = 0;
  /** Settled out of order: above `#ack`, with a hole below. */
  readonly #early = new Set<number>();

  constructor(id = "", limit = SESSION_LIMIT) {
    this.id = id;
    this.#limit = limit;
  }

  /** Every message of the other side up to this number is settled: what we tell it. */
  get ack(): number {
    return this.#ack;
  }

  /** The highest number received. */
  get received(): number {
    return this.#received;
  }

  /** The highest number given out. */
  get sent(): number {
    return this.#sent;
  }

  /** The highest of our own that the other side has acknowledged. */
  get acked(): number {
    return this.#acked;
  }

  /** Encoded bytes that wait to be acknowledged. */
  get buffered(): number {
    return this.#buffered;
  }

  /**
   * Number the message and keep it until it is acknowledged; an `ack` that is due rides along. What runs beside
   * the session gets no number and is not kept. Throws `session-lost` beyond the limit, and nothing has changed.
   */
  send(message: Message): Message {
    if (SESSION_OPERATIONS.has(message.operation)) {
      return this.#withAck(message);
    }
    const size = encoder.encode(JSON.stringify(message)).length;
    if (this.#buffered + size > this.#limit) {
      throw new PlaitError("session-lost", `More than ${this.#limit} bytes wait for an acknowledgement`);
    }
    return this.#withAck({ ...message, seq: this.#keep({ message, size }) });
  }

  /**
   * Take a message's numbers; false: already received, drop it. Throws {@link SequenceGap}, or
   * `invalid-message` where it lacks its number.
   */
  receive(message: Message): boolean {
    if (message.ack !== undefined) {
      this.#acknowledged(message.ack);
    }
    if (SESSION_OPERATIONS.has(message.operation)) {
      return true;
    }
    const { seq } = message;
    if (seq === undefined || seq < 1) {
      throw new PlaitError("invalid-message", "Every message of a session carries its number", {
        field: "/seq",
      });
    }
    if (seq <= this.#received) {
      return false;
    }
    if (seq !== this.#received + 1) {
      throw new SequenceGap(this.#received + 1, seq);
    }
    this.#received = seq;
    return true;
  }

  /** The message of this number is handed over for good; may come out of order, `ack` has no holes. */
  settled(seq: number): void {
    if (seq <= this.#ack || seq > this.#received) {
      return;
    }
    this.#early.add(seq);
    while (this.#early.delete(this.#ack + 1)) {
      this.#ack += 1;
    }
  }

  /** Whether something settled was not told yet. */
  ackDue(): boolean {
    return this.#ack > this.#told;
  }

  /** Return an `ack` to send by itself, or undefined where nothing is due. */
  acknowledgement(): Message | undefined {
    return this.ackDue() ? this.#withAck({ messageType: "notification", operation: "ack" }) : undefined;
  }

  /** What the other side has not acknowledged, in order, with its numbers. */
  unacknowledged(): Message[] {
    return this.#kept.map(({ message }, place) => ({ ...message, seq: this.#acked + 1 + place }));
  }

  /** The session continues: drop what `ack` covers, return the rest to send again under its old numbers. */
  resume(ack: number): Message[] {
    this.#acknowledged(ack);
    return this.unacknowledged();
  }

  /**
   * A new session begins: drop what `ack` covers (in the old numbers) and what meant the old session alone;
   * both numberings restart at 1. Returns all that is to be sent, renumbered; `first` goes before the rest.
   */
  renumber(id: string, ack: number, first: readonly Message[] = []): Message[] {
    this.#acknowledged(ack);
    const carried = this.#kept.filter(({ message }) => !belongsToSession(message));
    this.id = id;
    this.#kept = [];
    this.#buffered = this.#sent = this.#acked = 0;
    this.#received = this.#ack = this.#told = 0;
    this.#early.clear();
    for (const message of first) {
      this.#keep({ message, size: encoder.encode(JSON.stringify(message)).length });
    }
    for (const kept of carried) {
      this.#keep(kept);
    }
    return this.unacknowledged();
  }

  /** A client takes the hub's welcome: as {@link resume} or as {@link renumber}, which this finds out. */
  welcome({ session, resumed, ack }: Welcome, first: readonly Message[] = []): Message[] {
    return resumed ? this.resume(ack) : this.renumber(session, ack, first);
  }

  #keep(kept: Kept): number {
    this.#kept.push(kept);
    this.#buffered += kept.size;
    this.#sent += 1;
    return this.#sent;
  }

  #withAck(message: Message): Message {
    if (!this.ackDue()) {
      return message;
    }
    this.#told = this.#ack;
    return { ...message, ack: this.#ack };
  }

  #acknowledged(ack: number): void {
    const covered = this.#kept.splice(0, Math.max(0, Math.min(ack, this.#sent) - this.#acked));
    this.#acked += covered.length;
    for (const { size } of covered) {
      this.#buffered -= size;
    }
  }
}
