/**
 * The messages of the wire, as `docs/protocol.md` section 2 has them: the vocabulary of the W3C Web Thing
 * Protocol draft with our extension members. One flat shape, since the draft's messages differ by
 * `messageType` and `operation` together and share nearly all members.
 */

/** Version said in `hello`. */
export const PROTOCOL = 1;

/** Largest encoded message, in bytes. */
export const MAX_MESSAGE = 1 << 20;

/** Subprotocol offered at the upgrade: one JSON value in a text frame. */
export const SUBPROTOCOL_JSON = "plait.v1.json";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Problem details (RFC 9457), with our members `field` and `retry`. */
export interface Problem {
  /** `urn:plait:problem:CODE`. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail?: string;
  /** JSON pointer (RFC 6901) to the offending member of the request. */
  readonly field?: string | null;
  /** Whether the same request may succeed later, unchanged. */
  readonly retry?: boolean;
}

export type MessageType = "request" | "response" | "notification";

export interface Message {
  readonly messageType: MessageType;
  readonly operation: string;
  readonly messageID?: string;
  readonly correlationID?: string;
  readonly thingID?: string;
  readonly name?: string;
  readonly value?: unknown;
  readonly input?: unknown;
  readonly output?: unknown;
  readonly data?: unknown;
  readonly timestamp?: string;
  readonly deadline?: string;
  readonly call?: string;
  readonly seq?: number;
  readonly ack?: number;
  readonly error?: Problem;
}

/** `output` of the hub's answer to `hello`. */
export interface Welcome {
  readonly protocol: number;
  readonly session: string;
  readonly resumed: boolean;
  /** Last of our `seq` that the hub keeps; in the old session's numbers where `resumed` is false. */
  readonly ack: number;
  /** Seconds for which the hub keeps the session after a break. */
  readonly window: number;
  /** The hub's clock, RFC 3339. */
  readonly time: string;
}

/** These run beside the session: they carry no `seq` and are never sent again. */
export const SESSION_OPERATIONS: ReadonlySet<string> = new Set(["hello", "ack", "ping", "error"]);

/** Close codes of section 3 that tell the client something other than "try again". */
export const CLOSE = {
  goingAway: 1001,
  badCredential: 1008,
  tooLarge: 1009,
  noHello: 4000,
  displaced: 4001,
  gap: 4002,
  overflow: 4003,
} as const;

/** Return a fresh message id: 32 hexadecimal digits. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
