import type { PersistentVolumeClaim, Stored } from "@tripod/api/kubernetes";
import { type KubeClient, persistentVolumeClaims } from "@tripod/kube";

/** For the metadata of a patch that fails as "conflict" when the claim has changed meanwhile. */
export const versionOf = ({ metadata: { uid, resourceVersion } }: Stored<PersistentVolumeClaim>) => ({
  uid,
  resourceVersion,
});

/** Patches a claim's status, and what of its metadata goes with it. A patch with a resourceVersion fails as "conflict" when the claim has changed. */
export function patchClaimStatus(
  client: KubeClient,
  { metadata: { name, namespace = "default" } }: Stored<PersistentVolumeClaim>,
  patch: object,
): Promise<Stored<PersistentVolumeClaim>> {
  return client.resource(persistentVolumeClaims).patch(name, patch, { namespace, subresource: "status" });
}
