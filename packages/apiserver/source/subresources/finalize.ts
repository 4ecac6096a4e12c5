import type { ApiObject } from "../registry/api-object.ts";
import { removeIfFinalized } from "../verbs/delete.ts";
import type { ResourceRequest } from "../verbs/request.ts";

/** PUT namespaces/NAME/finalize: changes spec.finalizers alone; the last one's removal removes the namespace. */
export function finalizeNamespace(request: ResourceRequest, object: ApiObject, old: ApiObject): ApiObject {
  const finalizers = (object.spec as { finalizers?: string[] } | undefined)?.finalizers ?? []; // decoded as a Namespace
  const next = { ...old, spec: { finalizers } };
  const basis = object.metadata.resourceVersion
    ? { ...old, metadata: { ...old.metadata, resourceVersion: object.metadata.resourceVersion } }
    : old;
  return removeIfFinalized(request, request.store.update(request.resource, next, basis));
}
