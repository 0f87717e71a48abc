/** Requests that wait for their answers, and what becomes of them when the session is lost. */

import { fromProblem, PlaitError } from "./errors.ts";
import { type Message, newId } from "./messages.ts";

export interface RequestOptions {
  /** Milliseconds to wait for the answer; a command is not run after it. */
  readonly timeout?: number;
}

/** The hub's own deadline for an app's command, in ms (protocol section 4). */
const DEFAULT_TIMEOUT = 10_000;

/** Asking these again changes nothing, so a lost session does not fail them. */
const REPEATABLE: ReadonlySet<string> = new Set([
  "observethings",
  "readproperty",
  "readallproperties",
  "observeallproperties",
  "unobserveallproperties",
  "subscribeallevents",
  "unsubscribeallevents",
  "readhistory",
  "readstatistics",
]);

/** These change the world: asked again, they might do it twice. */
const COMMANDS: ReadonlySet<string> = new Set(["writeproperty", "invokeaction"]);

interface Pending {
  readonly message: Message;
  readonly resolve: (message: Message) => void;
  readonly reject: (error: PlaitError) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

export class Requests {
  readonly #send: (message: Message) => void;
  readonly #pending = new Map<string, Pending>();

  constructor(send: (message: Message) => void) {
    this.#send = send;
  }

  /** Send a request; resolves with its response. `now` is the hub's time, in ms. */
  ask(operation: string, members: Partial<Message>, options: RequestOptions, now: number): Promise<Message> {
    const timeout = options.timeout ?? DEFAULT_TIMEOUT;
    const deadline =
      COMMANDS.has(operation) && options.timeout !== undefined
        ? { deadline: new Date(now + timeout).toISOString() }
        : {};
    const messageID = newId();
    const message: Message = { messageType: "request", operation, messageID, ...members, ...deadline };
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(messageID);
        reject(new PlaitError("timeout", `No answer to ${operation} within ${timeout / 1000} s`));
      }, timeout);
      this.#pending.set(messageID, { message, resolve, reject, timer });
      try {
        this.#send(message);
      } catch (error) {
        this.#fail(messageID, error as PlaitError);
      }
    });
  }

  /** A response came; one that nobody waits for is dropped. */
  answer(message: Message): void {
    const { correlationID = "", error } = message;
    if (error !== undefined) {
      this.#fail(correlationID, fromProblem(error));
      return;
    }
    this.#take(correlationID)?.resolve(message);
  }

  /**
   * The session is a new one, into which `carried` went over; what the old one had taken gets no answer any more.
   * Returns the requests whose outcome is not known: they reject with `session-lost`.
   */
  renew(carried: ReadonlySet<string>): Message[] {
    const unknown: Message[] = [];
    for (const [messageID, { message }] of [...this.#pending]) {
      if (carried.has(messageID)) {
        continue;
      }
      if (REPEATABLE.has(message.operation)) {
        this.#send(message);
      } else {
        const ran = COMMANDS.has(message.operation) ? ": it is not known whether it ran" : "";
        unknown.push(message);
        this.#fail(
          messageID,
          new PlaitError("session-lost", `The session was lost before the answer came${ran}`),
        );
      }
    }
    return unknown;
  }

  failAll(error: PlaitError): void {
    for (const messageID of [...this.#pending.keys()]) {
      this.#fail(messageID, error);
    }
  }

  #take(messageID: string): Pending | undefined {
    const pending = this.#pending.get(messageID);
    clearTimeout(pending?.timer);
    this.#pending.delete(messageID);
    return pending;
  }

  #fail(messageID: string, error: PlaitError): void {
    this.#take(messageID)?.reject(error);
  }
}
