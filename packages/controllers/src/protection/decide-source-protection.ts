import type { PersistentVolumeClaim, VolumeGroupSnapshot, VolumeSnapshot } from "@tripod/api/kubernetes";
import { takes } from "../snapshots/snapshot-state.ts";
import { unlessInvalid } from "../unless-invalid.ts";

/** On a claim that a snapshot is being taken of. */
export const snapshotSourceFinalizer = "snapshot.storage.kubernetes.io/pvc-as-source-protection";
/** On a claim that is being cloned. */
export const cloneSourceFinalizer = "provisioner.storage.kubernetes.io/cloning-protection";

export interface SourceUsers {
  /** Snapshots of the claim. */
  readonly snapshots: readonly VolumeSnapshot[];
  /** Group snapshots in its namespace. */
  readonly groups: readonly VolumeGroupSnapshot[];
  /** Claims with a data source of its name. */
  readonly claims: readonly PersistentVolumeClaim[];
}

/** Pure: the finalizers of a claim that nothing needs any more, because no snapshot and no clone is being made of it. */
export function unneededProtection(claim: PersistentVolumeClaim, users: SourceUsers): string[] {
  const isTaken =
    users.snapshots.some(({ status }) => status?.readyToUse !== true) ||
    users.groups.some(
      (group) => group.status?.readyToUse !== true && unlessInvalid(() => takes(group, claim)) === true,
    );
  const isCloned = users.claims.some(
    ({ spec: { dataSource }, status }) =>
      status?.phase === "Pending" &&
      dataSource?.kind === "PersistentVolumeClaim" &&
      dataSource.name === claim.metadata.name,
  );
  const held = claim.metadata.finalizers ?? [];
  return [
    ...(isTaken || !held.includes(snapshotSourceFinalizer) ? [] : [snapshotSourceFinalizer]),
    ...(isCloned || !held.includes(cloneSourceFinalizer) ? [] : [cloneSourceFinalizer]),
  ];
}
