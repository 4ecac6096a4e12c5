import type { PersistentVolumeClaim, Pod, Stored, Volume } from "@tripod/api/kubernetes";
import { isMadeFor } from "../volumes/pod-claims.ts";

/** What is to be done about the claim of a Pod's ephemeral volume. */
export type EphemeralDecision =
  | { readonly kind: "none" }
  | { readonly kind: "create"; readonly claim: PersistentVolumeClaim }
  /** A claim of that name is there, and is somebody else's. */
  | { readonly kind: "conflict"; readonly message: string };

/** Pure: what a Pod's volume needs, given the claim of its name. */
export function decideEphemeral(
  pod: Stored<Pod>,
  volume: Volume,
  existing: PersistentVolumeClaim | undefined,
): EphemeralDecision {
  const template = volume.ephemeral?.volumeClaimTemplate;
  if (template === undefined) return { kind: "none" };
  const { name: podName, namespace = "default", uid } = pod.metadata;
  const name = `${podName}-${volume.name}`;
  if (existing !== undefined) {
    if (isMadeFor(existing, pod)) return { kind: "none" };
    const message = `ephemeral volume ${volume.name}: PVC ${namespace}/${name} was not created for pod ${namespace}/${podName} (pod is not owner)`;
    return { kind: "conflict", message };
  }
  const { annotations, labels } = template.metadata ?? {};
  const owner = { apiVersion: "v1", kind: "Pod", name: podName, uid, controller: true, blockOwnerDeletion: true };
  const metadata = {
    name,
    namespace,
    ownerReferences: [owner],
    ...(annotations === undefined ? {} : { annotations }),
    ...(labels === undefined ? {} : { labels }),
  };
  return { kind: "create", claim: { metadata, spec: template.spec } };
}

/** The Pods whose end is the claim's end, by name and uid; none when it has other owners, too, or none. */
export function podOwners({
  metadata,
}: PersistentVolumeClaim): readonly { readonly name: string; readonly uid: string }[] {
  const owners = metadata.ownerReferences ?? [];
  return owners.every(({ apiVersion, kind }) => apiVersion === "v1" && kind === "Pod") ? owners : [];
}
