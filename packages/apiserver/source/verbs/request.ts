import type { ObjectStore } from "../registry/object-store.ts";
import type { ResourceDefinition, StrategyContext, User } from "../registry/resource.ts";

/** A request on a resource, after its path and its caller are known. */
export interface ResourceRequest {
  readonly resource: ResourceDefinition;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  readonly query: URLSearchParams;
  readonly user: User;
  readonly store: ObjectStore;
  /** Texts for Warning headers of the reply. */
  readonly warnings: string[];
}

export const contextOf = (request: ResourceRequest): StrategyContext => ({ store: request.store, user: request.user });

/** Whether the request only asks what would happen (dryRun=All). */
export const isDryRun = (request: ResourceRequest): boolean => request.query.getAll("dryRun").includes("All");
