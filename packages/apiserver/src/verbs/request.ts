import type { Registry } from "../registry/registry.ts";
import type { ObjectStore } from "../registry/object-store.ts";
import type { Resource, ResourceContext, User } from "../registry/resource.ts";

/** A request on a resource, after its path and its caller are known. */
export interface ResourceRequest {
  readonly resource: Resource;
  readonly namespace: string | undefined;
  /** Undefined for a request on the collection. */
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  readonly query: URLSearchParams;
  readonly user: User;
  readonly userAgent: string;
  readonly store: ObjectStore;
  readonly registry: Registry;
  /** Texts for Warning headers of the reply. */
  readonly warnings: string[];
  /** Aborted when the client has gone or the server stops. */
  readonly signal: AbortSignal;
}

export const contextOf = (request: ResourceRequest): ResourceContext => ({
  store: request.store,
  user: request.user,
  warn: (text) => request.warnings.push(text),
});

/** Whether the request only asks what would happen (dryRun=All). */
export const isDryRun = (request: ResourceRequest): boolean => request.query.getAll("dryRun").includes("All");

/** Reads a boolean parameter the way upstream does: absent, "false" and "0" are false, everything else is true. */
export function booleanParameter(query: URLSearchParams, name: string): boolean | undefined {
  const value = query.get(name);
  if (value === null) return undefined;
  return !["false", "0"].includes(value.toLowerCase());
}

/** Who is said to own the fields that the request writes. */
export const fieldManagerOf = (request: ResourceRequest): string =>
  request.query.get("fieldManager") ?? (request.userAgent.split("/")[0]?.slice(0, 128) || "unknown");
