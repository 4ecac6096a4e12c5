import type { PersistentVolume, PersistentVolumeClaim, Pod } from "@tripod/api/kubernetes";
import { isFinished } from "../volumes/pod-claims.ts";

export const claimFinalizer = "kubernetes.io/pvc-protection";
export const volumeFinalizer = "kubernetes.io/pv-protection";

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

/** Pure: a claim outlives its deletion until no Pod on a node uses it. `users`: Pods that name it. */
export const protectClaim = (claim: PersistentVolumeClaim, users: readonly Pod[]): ProtectionDecision =>
  decide(
    claim.metadata.finalizers,
    claimFinalizer,
    claim.metadata.deletionTimestamp !== undefined,
    users.some((pod) => pod.spec.nodeName !== undefined && !isFinished(pod)),
  );

/** Pure: a volume outlives its deletion until it is bound no more. */
export const protectVolume = (volume: PersistentVolume): ProtectionDecision =>
  decide(
    volume.metadata.finalizers,
    volumeFinalizer,
    volume.metadata.deletionTimestamp !== undefined,
    volume.status?.phase === "Bound",
  );
