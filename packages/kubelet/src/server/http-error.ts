import { codeOf, type ErrorCode } from "@tripod/base";

const statuses: Partial<Record<ErrorCode, number>> = {
  invalid: 400,
  "failed-precondition": 400,
  unauthenticated: 401,
  "permission-denied": 403,
  "not-found": 404,
  unimplemented: 501,
  unavailable: 503,
  timeout: 504,
};

/** The HTTP status of any thrown value. */
export const httpStatusOf = (error: unknown): number => statuses[codeOf(error)] ?? 500;
