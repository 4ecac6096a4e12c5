import type { PersistentVolume, PersistentVolumeClaim, Pod, VolumeAttributesClass } from "@tripod/api/kubernetes";
import { isFinished } from "../volumes/pod-claims.ts";

export const claimFinalizer = "kubernetes.io/pvc-protection";
export const volumeFinalizer = "kubernetes.io/pv-protection";
export const attributesFinalizer = "kubernetes.io/vac-protection";

export type ProtectionDecision = "add" | "remove" | "none";

const decide = (
  finalizers: readonly string[] | undefined,
  finalizer: string,
  deleting: boolean,
  inUse: boolean,
): ProtectionDecision => {
  const has = finalizers?.includes(finalizer) === true;
  if (!deleting) return has ? "none" : "add";
  return has && !inUse ? "remove" : "none";
};

/** A Pod that has ended, but is about to go, may still have the volume mounted: it goes when that is undone. */
const holds = (pod: Pod): boolean =>
  pod.spec.nodeName !== undefined && (!isFinished(pod) || pod.metadata.deletionTimestamp !== undefined);

/** Pure: a claim outlives its deletion until no Pod on a node uses it. `users`: Pods that name it. */
export const protectClaim = (claim: PersistentVolumeClaim, users: readonly Pod[]): ProtectionDecision =>
  decide(claim.metadata.finalizers, claimFinalizer, claim.metadata.deletionTimestamp !== undefined, users.some(holds));

/** Pure: a volume outlives its deletion until it is bound no more. */
export const protectVolume = (volume: PersistentVolume): ProtectionDecision =>
  decide(
    volume.metadata.finalizers,
    volumeFinalizer,
    volume.metadata.deletionTimestamp !== undefined,
    volume.status?.phase === "Bound",
  );

/** The VolumeAttributesClasses that a claim, or a volume, has or is to have. */
export function attributesOf({ spec, status = {} }: PersistentVolumeClaim | PersistentVolume): string[] {
  const current = "currentVolumeAttributesClassName" in status ? status.currentVolumeAttributesClassName : undefined;
  const target =
    "modifyVolumeStatus" in status ? status.modifyVolumeStatus?.targetVolumeAttributesClassName : undefined;
  return [spec.volumeAttributesClassName, current, target].filter(
    (name): name is string => name !== undefined && name !== "",
  );
}

/** Pure: a VolumeAttributesClass outlives its deletion until no claim and no volume has it. */
export const protectAttributes = (
  { metadata }: VolumeAttributesClass,
  users: readonly (PersistentVolumeClaim | PersistentVolume)[],
): ProtectionDecision =>
  decide(
    metadata.finalizers,
    attributesFinalizer,
    metadata.deletionTimestamp !== undefined,
    users.some((each) => attributesOf(each).includes(metadata.name ?? "")),
  );
