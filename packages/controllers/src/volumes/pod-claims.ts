import type { PersistentVolumeClaim, Pod } from "@tripod/api/kubernetes";

/** A claim that a Pod mounts, under the name that it has in the Pod's volumes. */
export interface PodClaim {
  /** "namespace/name". */
  readonly key: string;
  readonly name: string;
  readonly volume: string;
  /** Made for this Pod alone, from a template in it. */
  readonly ephemeral: boolean;
  readonly readOnly: boolean;
}

/** The claims that a Pod's volumes name; an ephemeral volume's is called POD-VOLUME. */
export function claimsOf(pod: Pod): PodClaim[] {
  const namespace = pod.metadata.namespace ?? "default";
  return (pod.spec.volumes ?? []).flatMap((volume): PodClaim[] => {
    const { persistentVolumeClaim: claim, ephemeral } = volume;
    const name = claim?.claimName ?? (ephemeral === undefined ? undefined : `${pod.metadata.name}-${volume.name}`);
    if (name === undefined) return [];
    return [
      {
        key: `${namespace}/${name}`,
        name,
        volume: volume.name,
        ephemeral: ephemeral !== undefined,
        readOnly: claim?.readOnly === true,
      },
    ];
  });
}

/** Whether a claim was made for this very Pod, as one of an ephemeral volume must be. */
export const isMadeFor = ({ metadata }: PersistentVolumeClaim, pod: Pod): boolean =>
  metadata.namespace === pod.metadata.namespace &&
  metadata.ownerReferences?.some(({ uid, controller }) => controller === true && uid === pod.metadata.uid) === true;

/** The keys of claimsOf. */
export const claimKeysOf = (pod: Pod): string[] => claimsOf(pod).map((claim) => claim.key);

/** Whether a Pod's containers have all ended for good. */
export const isFinished = (pod: Pod): boolean => pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
