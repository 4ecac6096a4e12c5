import type { Status, StatusCause } from "@tripod/api/kubernetes";
import { codeOf, type ErrorCode, messageOf, TripodError } from "@tripod/base";

interface ResourceName {
  readonly group: string;
  readonly plural: string;
}

/** A refusal with the HTTP code, reason and causes of a metav1.Status. */
export class ApiError extends TripodError {
  readonly status: Status;

  constructor(
    code: ErrorCode,
    httpCode: number,
    reason: string,
    message: string,
    details: Status["details"] = undefined,
  ) {
    super(code, message);
    this.status = {
      apiVersion: "v1",
      kind: "Status",
      metadata: {},
      status: "Failure",
      message,
      reason,
      ...(details === undefined ? {} : { details }),
      code: httpCode,
    };
  }
}

const qualified = ({ group, plural }: ResourceName): string => (group === "" ? plural : `${plural}.${group}`);
const detailsOf = (resource: ResourceName, name: string) => ({
  name,
  ...(resource.group === "" ? {} : { group: resource.group }),
  kind: resource.plural,
});

export const notFound = (resource: ResourceName, name: string): ApiError =>
  new ApiError(
    "not-found",
    404,
    "NotFound",
    `${qualified(resource)} ${JSON.stringify(name)} not found`,
    detailsOf(resource, name),
  );

export const alreadyExists = (resource: ResourceName, name: string): ApiError =>
  new ApiError(
    "already-exists",
    409,
    "AlreadyExists",
    `${qualified(resource)} ${JSON.stringify(name)} already exists`,
    detailsOf(resource, name),
  );

export const conflict = (resource: ResourceName, name: string, why: string): ApiError =>
  new ApiError(
    "conflict",
    409,
    "Conflict",
    `Operation cannot be fulfilled on ${qualified(resource)} ${JSON.stringify(name)}: ${why}`,
    detailsOf(resource, name),
  );

/** The usual reason of a conflict. */
export const modifiedMeanwhile =
  "the object has been modified; please apply your changes to the latest version and try again";

export const badRequest = (message: string): ApiError => new ApiError("invalid", 400, "BadRequest", message);

export const forbidden = (message: string): ApiError => new ApiError("permission-denied", 403, "Forbidden", message);

export const methodNotAllowed = (what: string): ApiError =>
  new ApiError(
    "unimplemented",
    405,
    "MethodNotAllowed",
    `${what}: the server does not allow this method on the requested resource`,
  );

export const noSuchPath = (): ApiError =>
  new ApiError("not-found", 404, "NotFound", "the server could not find the requested resource");

export const expired = (message: string): ApiError => new ApiError("out-of-range", 410, "Expired", message);

/** 422 with a cause for each wrong field. */
export function invalid(
  kind: { readonly group: string; readonly kind: string },
  name: string,
  causes: readonly StatusCause[],
): ApiError {
  const lines = causes.map((cause) => `${cause.field}: ${cause.message}`);
  const qualifiedKind = kind.group === "" ? kind.kind : `${kind.kind}.${kind.group}`;
  const message = `${qualifiedKind} ${JSON.stringify(name)} is invalid: ${lines.length === 1 ? lines[0] : `[${lines.join(", ")}]`}`;
  return new ApiError("invalid", 422, "Invalid", message, {
    name,
    ...(kind.group === "" ? {} : { group: kind.group }),
    kind: kind.kind,
    causes: [...causes],
  });
}

const httpCodes: Readonly<Partial<Record<ErrorCode, [code: number, reason: string]>>> = {
  invalid: [400, "BadRequest"],
  "not-found": [404, "NotFound"],
  "already-exists": [409, "AlreadyExists"],
  conflict: [409, "Conflict"],
  "permission-denied": [403, "Forbidden"],
  unauthenticated: [401, "Unauthorized"],
  exhausted: [429, "TooManyRequests"],
  unavailable: [503, "ServiceUnavailable"],
  "out-of-range": [410, "Expired"],
  timeout: [504, "Timeout"],
};

/** The Status of any thrown value. */
export function statusOf(error: unknown): Status {
  if (error instanceof ApiError) return error.status;
  const [code, reason] = httpCodes[codeOf(error)] ?? [500, "InternalError"];
  return { apiVersion: "v1", kind: "Status", metadata: {}, status: "Failure", message: messageOf(error), reason, code };
}
