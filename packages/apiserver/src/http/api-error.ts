import type { KubernetesObject, Status, StatusCause } from "@tripod/api/kubernetes";
import { codeOf, type ErrorCode, messageOf, TripodError } from "@tripod/base";
import { qualifiedName, type Resource } from "../registry/resource.ts";

type Named = Pick<Resource, "group" | "plural">;

/** A refusal with the HTTP code, reason, details and causes of a metav1.Status. */
export class ApiError extends TripodError {
  readonly status: Status & { readonly code: number };

  constructor(code: ErrorCode, reply: { code: number; reason: string; message: string; details?: Status["details"] }) {
    super(code, reply.message);
    this.status = {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: reply.message,
      reason: reply.reason,
      ...(reply.details === undefined ? {} : { details: reply.details }),
      code: reply.code,
    };
  }
}

const detailsOf = ({ group, plural }: Named, name: string): NonNullable<Status["details"]> => ({
  name,
  ...(group === "" ? {} : { group }),
  kind: plural,
});
const quoted = (text: string): string => JSON.stringify(text);

export const notFound = (resource: Named, name: string): ApiError =>
  new ApiError("not-found", {
    code: 404,
    reason: "NotFound",
    message: `${qualifiedName(resource)} ${quoted(name)} not found`,
    details: detailsOf(resource, name),
  });

export const alreadyExists = (resource: Named, name: string): ApiError =>
  new ApiError("already-exists", {
    code: 409,
    reason: "AlreadyExists",
    message: `${qualifiedName(resource)} ${quoted(name)} already exists`,
    details: detailsOf(resource, name),
  });

export const conflict = (resource: Named, name: string, why: string): ApiError =>
  new ApiError("conflict", {
    code: 409,
    reason: "Conflict",
    message: `Operation cannot be fulfilled on ${qualifiedName(resource)} ${quoted(name)}: ${why}`,
    details: detailsOf(resource, name),
  });

/** The usual reason of a conflict. */
export const modifiedMeanwhile =
  "the object has been modified; please apply your changes to the latest version and try again";

/** A condition of the caller on the object's uid or resourceVersion that does not hold. */
export const preconditionFailed = (
  resource: Named,
  name: string,
  what: { readonly field: "UID" | "ResourceVersion"; readonly wanted: string; readonly held: string },
): ApiError =>
  conflict(
    resource,
    name,
    `Precondition failed: ${what.field} in precondition: ${what.wanted}, ${what.field} in object meta: ${what.held}`,
  );

export const badRequest = (message: string): ApiError =>
  new ApiError("invalid", { code: 400, reason: "BadRequest", message });

/** A refusal of one object: by admission, or for who asks. */
export const forbidden = (resource: Named, name: string, why: string): ApiError =>
  new ApiError("permission-denied", {
    code: 403,
    reason: "Forbidden",
    message: `${qualifiedName(resource)}${name === "" ? "" : ` ${quoted(name)}`} is forbidden: ${why}`,
    details: detailsOf(resource, name),
  });

export const methodNotAllowed = (what: string): ApiError =>
  new ApiError("unimplemented", {
    code: 405,
    reason: "MethodNotAllowed",
    message: `${what}: the server does not allow this method on the requested resource`,
  });

export const noSuchPath = (): ApiError =>
  new ApiError("not-found", {
    code: 404,
    reason: "NotFound",
    message: "the server could not find the requested resource",
    details: {},
  });

export const expired = (message: string): ApiError =>
  new ApiError("out-of-range", { code: 410, reason: "Expired", message });

/** What is asked for lies in the future; clients list again without a version. */
export const tooLargeVersion = (message: string): ApiError =>
  new ApiError("timeout", {
    code: 504,
    reason: "Timeout",
    message: `Timeout: ${message}`,
    details: {
      causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
      retryAfterSeconds: 1,
    },
  });

export const unsupportedMediaType = (accepted: readonly string[]): ApiError =>
  new ApiError("unimplemented", {
    code: 415,
    reason: "UnsupportedMediaType",
    message: `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`,
  });

export const notAcceptable = (): ApiError =>
  new ApiError("unimplemented", {
    code: 406,
    reason: "NotAcceptable",
    message: "only the following media types are accepted: application/json, application/yaml",
  });

/** 422 with a cause for each wrong field. */
export function invalid(
  resource: Pick<Resource, "group" | "kind">,
  object: KubernetesObject,
  causes: readonly StatusCause[],
): ApiError {
  const { group, kind } = resource;
  const { name = "", generateName = "" } = object.metadata;
  const shown = name === "" ? generateName : name;
  const lines = causes.map((cause) => `${cause.field}: ${cause.message}`);
  const qualifiedKind = group === "" ? kind : `${kind}.${group}`;
  return new ApiError("invalid", {
    code: 422,
    reason: "Invalid",
    message: `${qualifiedKind} ${quoted(shown)} is invalid: ${lines.length === 1 ? lines[0] : `[${lines.join(", ")}]`}`,
    details: { name: shown, ...(group === "" ? {} : { group }), kind, causes: [...causes] },
  });
}

const httpCodes: Readonly<Partial<Record<ErrorCode, readonly [code: number, reason: string]>>> = {
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

/** The Status of any thrown value. What is no refusal of ours is an internal error. */
export function statusOf(error: unknown): Status & { readonly code: number } {
  if (error instanceof ApiError) return error.status;
  const [code, reason] = httpCodes[codeOf(error)] ?? [500, "InternalError"];
  const message = code === 500 ? `Internal error occurred: ${messageOf(error)}` : messageOf(error);
  return new ApiError(codeOf(error), { code, reason, message }).status;
}
