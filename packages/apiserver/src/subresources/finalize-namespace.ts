import type { KubernetesObject, Namespace } from "@tripod/api/kubernetes";
import { conflict, modifiedMeanwhile } from "../http/api-error.ts";
import type { StoredObject } from "../registry/stored-object.ts";
import { removeIfFinished } from "../verbs/delete.ts";
import type { ResourceRequest } from "../verbs/request.ts";

/** PUT namespaces/NAME/finalize: changes spec.finalizers alone; with the last one of a deleted namespace, it goes. */
export async function finalizeNamespace(
  request: ResourceRequest,
  given: Namespace,
  old: StoredObject<Namespace>,
): Promise<KubernetesObject> {
  const { name = "", resourceVersion } = old.object.metadata;
  if (given.metadata.resourceVersion && given.metadata.resourceVersion !== resourceVersion)
    throw conflict(request.resource, name, modifiedMeanwhile);
  const next: Namespace = { ...old.object, spec: { finalizers: given.spec?.finalizers ?? [] } };
  return removeIfFinished(request, await request.store.update(request.resource, next, old));
}
