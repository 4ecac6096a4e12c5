import type { KubernetesObject, Stored } from "@tripod/api/kubernetes";
import { codeOf } from "@tripod/base";
import type { ResourceClient } from "@tripod/kube";

/** Adds a finalizer, whatever else is being changed. The patch does nothing when it is there already. */
export async function addFinalizer<T extends KubernetesObject>(
  resource: ResourceClient<T>,
  object: Stored<T>,
  finalizer: string,
): Promise<Stored<T>> {
  if (object.metadata.finalizers?.includes(finalizer) === true) return object;
  const { uid } = object.metadata;
  return resource.patch(object.metadata.name, { metadata: { uid, finalizers: [finalizer] } }, patchOptions(object));
}

/** Takes a finalizer away; undefined when the object is gone, perhaps by that. */
export async function removeFinalizer<T extends KubernetesObject>(
  resource: ResourceClient<T>,
  object: Stored<T>,
  finalizer: string,
): Promise<Stored<T> | undefined> {
  if (object.metadata.finalizers?.includes(finalizer) !== true) return object;
  const { uid } = object.metadata;
  const patch = { metadata: { uid, "$deleteFromPrimitiveList/finalizers": [finalizer] } };
  try {
    return await resource.patch(object.metadata.name, patch, patchOptions(object));
  } catch (error) {
    // Gone, or another object by now (the uid differs).
    if (codeOf(error) === "not-found" || codeOf(error) === "conflict") return undefined;
    throw error;
  }
}

/**
 * As the two above for what takes no strategic merge patch (custom resources), several at once; undefined when the object is gone. Throws
 * "conflict" when somebody else changed the object meanwhile.
 */
export async function changeFinalizers<T extends KubernetesObject>(
  resource: ResourceClient<T>,
  object: Stored<T>,
  { add = [], remove = [] }: { readonly add?: readonly string[]; readonly remove?: readonly string[] },
): Promise<Stored<T> | undefined> {
  const before = new Set(object.metadata.finalizers ?? []);
  const after = new Set([...before, ...add]).difference(new Set(remove));
  if (after.size === before.size && after.isSubsetOf(before)) return object;
  const { name, namespace, uid, resourceVersion } = object.metadata;
  const patch = { metadata: { uid, resourceVersion, finalizers: [...after] } };
  try {
    return await resource.patch(name, patch, namespace === undefined ? {} : { namespace });
  } catch (error) {
    if (codeOf(error) === "not-found") return undefined;
    throw error;
  }
}

const patchOptions = (object: KubernetesObject) => {
  const { namespace } = object.metadata;
  return { type: "strategic" as const, ...(namespace === undefined ? {} : { namespace }) };
};
