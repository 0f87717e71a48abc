/** Every failure that travels: one class, told apart by `code` (the table in `src/plait/wire/errors.py`). */

import type { Problem } from "./messages.ts";

const PREFIX = "urn:plait:problem:";

/** What each code means to a person, its HTTP status, and whether trying again can help. */
const CODES = {
  error: ["Something went wrong", 500, false],
  offline: ["The thing is offline", 503, true],
  timeout: ["No answer in time", 504, true],
  busy: ["Too much is waiting already", 503, true],
  expired: ["The command is too old to run", 410, false],
  "outcome-unknown": ["It is not known whether the command ran", 500, false],
  "session-lost": ["The session could not be resumed", 409, true],
  "link-violation": ["The channel broke the link's rules", 400, false],
  "link-lost": ["The link is lost", 409, true],
  "unsupported-version": ["No protocol version in common", 400, false],
  "invalid-message": ["Not a valid message", 400, false],
  "message-too-large": ["The message is too large", 413, false],
  "invalid-value": ["The value does not fit", 422, false],
  "invalid-description": ["Not a valid Thing Description", 422, false],
  "file-damaged": ["The file is damaged", 422, true],
  "read-only": ["The property is read-only", 405, false],
  "unknown-thing": ["No such thing", 404, false],
  "unknown-affordance": ["The thing has nothing of that name", 404, false],
  "unknown-operation": ["No such operation", 400, false],
  "action-failed": ["The device could not do it", 500, false],
  unauthorized: ["Not logged in", 401, false],
  forbidden: ["Not allowed", 403, false],
  "permission-expired": ["The permission has expired", 403, false],
} as const satisfies Record<string, readonly [title: string, status: number, retry: boolean]>;

export type ErrorCode = keyof typeof CODES;

/** An operation that failed, here or at the far end. */
export class PlaitError extends Error {
  /** Stable code, the last part of the problem's `type`; one of {@link ErrorCode}, or one newer than this SDK. */
  readonly code: ErrorCode | (string & {});
  /** The same for every problem of one code. */
  readonly title: string;
  readonly status: number;
  /** JSON pointer to what was wrong in the request, where there is one. */
  readonly field: string | undefined;
  /** Whether the same request may succeed later, unchanged. */
  readonly retry: boolean;

  constructor(code: string, detail = "", problem: Partial<Problem> = {}) {
    const known = Object.hasOwn(CODES, code) ? CODES[code as ErrorCode] : undefined;
    const [title, status, retry] = known ?? CODES.error;
    super(detail || problem.title || title);
    this.name = "PlaitError";
    this.code = code;
    this.title = problem.title ?? title;
    this.status = problem.status ?? status;
    this.field = problem.field ?? undefined;
    this.retry = problem.retry ?? retry;
  }

  /** Return the form that travels. */
  problem(): Problem {
    const { title, status, retry, message: detail } = this;
    const field = this.field === undefined ? {} : { field: this.field };
    return { type: PREFIX + this.code, title, status, detail, retry, ...field };
  }
}

/** Return the typed error for problem details. */
export function fromProblem(problem: Problem): PlaitError {
  const code = problem.type.startsWith(PREFIX) ? problem.type.slice(PREFIX.length) : "error";
  return new PlaitError(code, problem.detail ?? "", problem);
}

/** Whatever was thrown, as an error that can be shown. */
export function asPlaitError(error: unknown): PlaitError {
  return error instanceof PlaitError ? error : new PlaitError("error", (error as Error).message);
}
