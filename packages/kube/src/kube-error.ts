import type { Status } from "@tripod/api/kubernetes";
import { type ErrorCode, TripodError } from "@tripod/base";

function codeOfStatus(httpStatus: number, reason: string | undefined): ErrorCode {
  switch (httpStatus) {
    case 400:
    case 413:
    case 422:
      return "invalid";
    case 401:
      return "unauthenticated";
    case 403:
      return "permission-denied";
    case 404:
      return "not-found";
    case 405:
    case 406:
    case 415:
    case 501:
      return "unimplemented";
    case 409:
      return reason === "AlreadyExists" ? "already-exists" : "conflict";
    case 410:
      return "out-of-range";
    case 429:
      return "exhausted";
    case 408:
    case 504:
      return "timeout";
    case 502:
    case 503:
      return "unavailable";
    default:
      return "internal";
  }
}

/** Whether parsed JSON is a metav1.Status. */
export const isStatus = (value: unknown): value is Status =>
  typeof value === "object" && value !== null && "kind" in value && value.kind === "Status";

/**
 * The error for an API server's refusal of `what` ("get pods/web"). Detail: httpStatus, reason, and the whole Status where there
 * was one, so that causes can be read.
 */
export function errorOfStatus(what: string, httpStatus: number, body: unknown): TripodError {
  const status = isStatus(body) ? body : undefined;
  const text = typeof body === "string" ? body.trim().slice(0, 500) : "";
  const message = status?.message ?? (text === "" ? `the API server answered ${httpStatus}` : text);
  return new TripodError(codeOfStatus(httpStatus, status?.reason), `${what}: ${message}`, {
    detail: { httpStatus, reason: status?.reason, status },
  });
}
