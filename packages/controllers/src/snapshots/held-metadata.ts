import type { KubernetesObject, Stored } from "@tripod/api/kubernetes";

/** For a patch of a content that from now on must not go before its storage. */
export function heldMetadata(metadata: Stored<KubernetesObject>["metadata"], finalizer: string) {
  const { uid, resourceVersion, deletionTimestamp, finalizers: held = [] } = metadata;
  // What is being deleted takes no new finalizers.
  if (deletionTimestamp !== undefined) return { uid };
  return { uid, resourceVersion, finalizers: [...new Set([...held, finalizer])] };
}
