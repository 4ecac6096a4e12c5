import { isNodeError } from "./is-node-error.ts";

/** The closed set of reasons for which anything in Tripod fails. Each protocol maps it in one file of its own. */
export type ErrorCode =
  | "invalid"
  | "not-found"
  | "already-exists"
  | "conflict"
  | "failed-precondition"
  | "permission-denied"
  | "unauthenticated"
  | "exhausted"
  | "unavailable"
  | "aborted"
  | "out-of-range"
  | "unimplemented"
  | "timeout"
  | "cancelled"
  | "corrupt"
  | "internal";

export interface TripodErrorOptions {
  readonly cause?: unknown;
  /** Machine-readable facts about the failure (paths, ids, limits). Never a secret. */
  readonly detail?: Readonly<Record<string, unknown>>;
}

/**
 * The one base error. The message says what was being done, then why not, then what to do:
 * `attach eth0 to sandbox 3f2a: network namespace is gone; remove the sandbox`.
 */
export class TripodError extends Error {
  readonly code: ErrorCode;
  readonly detail: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: TripodErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "TripodError";
    this.code = code;
    this.detail = options.detail ?? {};
  }
}

/** True for a TripodError, and, where codes are given, only for one that carries one of them. */
export function isTripodError(error: unknown, ...codes: ErrorCode[]): error is TripodError {
  return error instanceof TripodError && (codes.length === 0 || codes.includes(error.code));
}

/** SQLITE_FULL. */
const sqliteFull = 13;

/** EDQUOT, for which Node has no name. */
const overQuota = -122;

/** Whether a file system, or a quota on it, had no room left: as Node's modules tell it, and as SQLite does. */
const isOutOfSpace = (error: Error): boolean =>
  isNodeError(error, "ENOSPC") ||
  ("errno" in error && error.errno === overQuota) ||
  ("errcode" in error && error.errcode === sqliteFull);

/** The code of any thrown value: a TripodError's own, "cancelled" for an abort, "exhausted" for a full disk, "internal" for the rest. */
export function codeOf(error: unknown): ErrorCode {
  if (error instanceof TripodError) return error.code;
  if (error instanceof Error && isOutOfSpace(error)) return "exhausted";
  if (error instanceof Error && error.name === "AbortError") return "cancelled";
  if (error instanceof Error && error.name === "TimeoutError") return "timeout";
  return "internal";
}

/** One line for any thrown value; an AggregateError lists what it collected. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError) {
    const parts = error.errors.map(messageOf);
    return error.message === "" ? parts.join("; ") : `${error.message}: ${parts.join("; ")}`;
  }
  if (error instanceof Error) return error.message === "" ? error.name : error.message;
  return String(error);
}
