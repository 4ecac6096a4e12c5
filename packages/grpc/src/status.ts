import { status } from "@grpc/grpc-js";
import { codeOf, type ErrorCode, TripodError } from "@tripod/base";

const toStatus: Readonly<Record<ErrorCode, status>> = {
  invalid: status.INVALID_ARGUMENT,
  "not-found": status.NOT_FOUND,
  "already-exists": status.ALREADY_EXISTS,
  conflict: status.ABORTED,
  "failed-precondition": status.FAILED_PRECONDITION,
  "permission-denied": status.PERMISSION_DENIED,
  unauthenticated: status.UNAUTHENTICATED,
  exhausted: status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE,
  aborted: status.ABORTED,
  "out-of-range": status.OUT_OF_RANGE,
  unimplemented: status.UNIMPLEMENTED,
  timeout: status.DEADLINE_EXCEEDED,
  cancelled: status.CANCELLED,
  corrupt: status.DATA_LOSS,
  internal: status.INTERNAL,
};

const toCode: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [status.INVALID_ARGUMENT, "invalid"],
  [status.NOT_FOUND, "not-found"],
  [status.ALREADY_EXISTS, "already-exists"],
  [status.FAILED_PRECONDITION, "failed-precondition"],
  [status.PERMISSION_DENIED, "permission-denied"],
  [status.UNAUTHENTICATED, "unauthenticated"],
  [status.RESOURCE_EXHAUSTED, "exhausted"],
  [status.UNAVAILABLE, "unavailable"],
  [status.ABORTED, "aborted"],
  [status.OUT_OF_RANGE, "out-of-range"],
  [status.UNIMPLEMENTED, "unimplemented"],
  [status.DEADLINE_EXCEEDED, "timeout"],
  [status.CANCELLED, "cancelled"],
  [status.DATA_LOSS, "corrupt"],
]);

/**
 * Goes over the wire as UNKNOWN: a kubelet takes that code off, and knows some failures by the word with which the message then begins.
 * Here its code is the cause's.
 */
export class WordedError extends TripodError {
  constructor(word: string, cause: TripodError) {
    super(cause.code, `${word}: ${cause.message}`, { cause, detail: cause.detail });
    this.name = "WordedError";
  }
}

/** The gRPC status number of any thrown value. */
export const grpcStatusOf = (error: unknown): status =>
  error instanceof WordedError ? status.UNKNOWN : toStatus[codeOf(error)];

/** Our code for a gRPC status number; "internal" for UNKNOWN and the like. */
export const codeOfGrpcStatus = (number: number): ErrorCode => toCode.get(number) ?? "internal";

/** The name of any thrown value's gRPC status, as Go writes it: "InvalidArgument". */
export const grpcStatusName = (error: unknown): string =>
  (status[grpcStatusOf(error)] ?? "UNKNOWN")
    .split("_")
    .map((word) => word.charAt(0) + word.slice(1).toLowerCase())
    .join("")
    .replace("Cancelled", "Canceled");
