/** Messages to text frames and back. */

import { PlaitError } from "./errors.ts";
import { MAX_MESSAGE, type Message } from "./messages.ts";

const encoder = new TextEncoder();

/** Return the message as JSON text; throws `message-too-large`. */
export function encode(message: Message): string {
  const text = JSON.stringify(message);
  // A UTF-16 unit is at most three UTF-8 bytes: most messages need no exact count.
  if (text.length * 3 > MAX_MESSAGE) {
    const size = encoder.encode(text).length;
    if (size > MAX_MESSAGE) {
      throw new PlaitError("message-too-large", `${size} bytes; at most ${MAX_MESSAGE} fit one message`);
    }
  }
  return text;
}

type Kind = "string" | "count" | "object";

const MEMBERS: Readonly<Record<string, Kind>> = {
  operation: "string",
  messageID: "string",
  correlationID: "string",
  thingID: "string",
  name: "string",
  timestamp: "string",
  deadline: "string",
  call: "string",
  seq: "count",
  ack: "count",
  error: "object",
};

/** RFC 3339 with an offset; the date's own validity is left to `Date.parse`. */
const TIMESTAMP = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;

function fits(value: unknown, kind: Kind): boolean {
  switch (kind) {
    case "string":
      return typeof value === "string";
    case "count":
      return typeof value === "number" && Number.isSafeInteger(value);
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
  }
}

function invalid(detail: string, field?: string): PlaitError {
  return new PlaitError("invalid-message", detail, field === undefined ? {} : { field });
}

/** What a problem must have is what a person is shown. */
function checkProblem(problem: Record<string, unknown> | undefined): void {
  if (problem === undefined) {
    return;
  }
  for (const [member, kind] of [
    ["type", "string"],
    ["title", "string"],
    ["status", "count"],
  ] as const) {
    if (!fits(problem[member], kind)) {
      throw invalid(`error.${member} must be a ${kind}`, `/error/${member}`);
    }
  }
}

/** Return the message in a text frame; throws `invalid-message` with `field`, or `message-too-large`. */
export function decode(text: string): Message {
  if (
    text.length > MAX_MESSAGE ||
    (text.length * 3 > MAX_MESSAGE && encoder.encode(text).length > MAX_MESSAGE)
  ) {
    throw new PlaitError("message-too-large", `more than ${MAX_MESSAGE} bytes`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(`not JSON: ${(error as Error).message}`);
  }
  if (!fits(value, "object")) {
    throw invalid("not a JSON object");
  }
  const members = value as Record<string, unknown>;
  const type = members.messageType;
  if (type !== "request" && type !== "response" && type !== "notification") {
    throw invalid("messageType must be request, response or notification", "/messageType");
  }
  for (const [member, kind] of Object.entries(MEMBERS)) {
    const given = members[member];
    if (given === undefined ? member === "operation" : !fits(given, kind)) {
      throw invalid(`${member} must be a ${kind}`, `/${member}`);
    }
  }
  for (const member of ["timestamp", "deadline"]) {
    const given = members[member] as string | undefined;
    if (given !== undefined && (!TIMESTAMP.test(given) || Number.isNaN(Date.parse(given)))) {
      throw invalid(`${member} must be RFC 3339 with an offset`, `/${member}`);
    }
  }
  checkProblem(members.error as Record<string, unknown> | undefined);
  return members as unknown as Message;
}
