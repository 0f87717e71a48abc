import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decode, encode } from "../src/codec.ts";
import { PlaitError } from "../src/errors.ts";
import type { Message, Welcome } from "../src/messages.ts";
import { SequenceGap, Session } from "../src/session.ts";

function load<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../../vectors/${name}`, import.meta.url), "utf8")) as T;
}

interface Messages {
  readonly messages: readonly { readonly name: string; readonly message: Message; readonly json: string }[];
  readonly invalid: readonly {
    readonly name: string;
    readonly json?: string;
    readonly error: string;
    readonly field: string | null;
  }[];
}

const { messages, invalid } = load<Messages>("messages.json");

describe("messages", () => {
  it.each(messages)("$name", ({ message, json }) => {
    expect(decode(json)).toEqual(message);
    expect(decode(encode(message))).toEqual(message);
  });
});

/** Ours of the rows: a browser never shows a frame that is not UTF-8, and this side speaks JSON only. */
const ours = invalid.filter((row) => row.json !== undefined);

describe("invalid messages", () => {
  it.each(ours)("$name", ({ json = "", error, field }) => {
    let caught: unknown;
    try {
      decode(json);
    } catch (problem) {
      caught = problem;
    }
    expect(caught).toBeInstanceOf(PlaitError);
    const { code, field: told } = caught as PlaitError;
    expect({ code, field: told ?? null }).toEqual({ code: error, field });
  });
});

interface Step {
  readonly do: string;
  readonly message: Message;
  readonly expect: unknown;
  readonly seq: number;
  readonly ack: number;
  readonly session: string;
  readonly first?: readonly Message[];
  readonly output: Welcome;
}

function receive(session: Session, message: Message): string {
  try {
    return session.receive(message) ? "new" : "seen";
  } catch (error) {
    if (error instanceof SequenceGap) {
      return "gap";
    }
    expect(error).toMatchObject({ code: "invalid-message", field: "/seq" });
    return "invalid";
  }
}

function send(session: Session, message: Message): unknown {
  try {
    return session.send(message);
  } catch (error) {
    return { error: (error as PlaitError).code };
  }
}

function stateOf(session: Session): Record<string, unknown> {
  return {
    session: session.id,
    sent: session.sent,
    acked: session.acked,
    received: session.received,
    ack: session.ack,
    ackDue: session.ackDue(),
    unacknowledged: session.unacknowledged().map(({ seq }) => seq),
  };
}

function play(session: Session, step: Step): unknown {
  switch (step.do) {
    case "send":
      return send(session, step.message);
    case "receive":
      return receive(session, step.message);
    case "settle":
      session.settled(step.seq);
      return undefined;
    case "acknowledgement":
      return session.acknowledgement() ?? null;
    case "resume":
      return session.resume(step.ack);
    case "renumber":
      return session.renumber(step.session, step.ack, step.first);
    case "hello":
      return { session: session.id || null, ack: session.ack };
    case "welcome":
      return session.welcome(step.output, step.first);
    case "state":
      return stateOf(session);
    default:
      throw new Error(`a step this test does not know: ${step.do}`);
  }
}

interface Script {
  readonly name: string;
  readonly limit?: number;
  readonly steps: readonly Step[];
}

describe("sessions", () => {
  it.each(load<{ scripts: Script[] }>("session.json").scripts)("$name", ({ limit, steps }) => {
    const session = new Session("", limit);
    for (const [index, step] of steps.entries()) {
      const outcome = play(session, step);
      const where = `step ${index}: ${step.do}`;
      if (step.do === "state") {
        expect(outcome, where).toMatchObject(step.expect as object);
      } else {
        expect(outcome, where).toEqual(step.expect);
      }
    }
  });
});
