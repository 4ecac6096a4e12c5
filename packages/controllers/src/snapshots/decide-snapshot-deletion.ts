import type { PersistentVolumeClaim, Stored, VolumeSnapshot, VolumeSnapshotContent } from "@tripod/api/kubernetes";
import { finalizers } from "./snapshot-names.ts";
import { isReferenceTo } from "./snapshot-state.ts";

export interface SnapshotDeletionFacts {
  /** What its status says, or the name that its content would have; as the API server has it now. */
  readonly content: Stored<VolumeSnapshotContent> | undefined;
  /** Claims in its namespace. */
  readonly claims: readonly PersistentVolumeClaim[];
  /** The name of the group that it was taken with, while that is there. */
  readonly group: string | undefined;
}

/** What is to be done about a snapshot that is being deleted. */
export type SnapshotDeletion =
  | { readonly kind: "wait"; readonly message: string }
  | {
      readonly kind: "go";
      /** To be marked, so that it may go. */
      readonly content: Stored<VolumeSnapshotContent> | undefined;
      /** The content is to be deleted. */
      readonly deletes: boolean;
      readonly release: readonly string[];
    };

/** Whether a volume is being made from this snapshot for the claim. */
export function isRestoring(claim: PersistentVolumeClaim, snapshot: VolumeSnapshot): boolean {
  const { kind, apiGroup, name } = claim.spec.dataSource ?? {};
  return (
    claim.status?.phase === "Pending" &&
    kind === "VolumeSnapshot" &&
    apiGroup === "snapshot.storage.k8s.io" &&
    name === snapshot.metadata.name
  );
}

/** Pure: how a snapshot goes. Its content goes first where its policy says so, and the storage before the content. */
export function decideSnapshotDeletion(
  snapshot: Stored<VolumeSnapshot>,
  facts: SnapshotDeletionFacts,
): SnapshotDeletion {
  const content =
    facts.content !== undefined && isReferenceTo(facts.content.spec.volumeSnapshotRef, snapshot)
      ? facts.content
      : undefined;
  const restoring = facts.claims.find((claim) => isRestoring(claim, snapshot));
  if (content !== undefined && restoring !== undefined)
    return {
      kind: "wait",
      message: `Snapshot is being used to restore a PVC: it goes when ${restoring.metadata.name} is bound or gone`,
    };
  const { group } = facts;
  if (group !== undefined)
    return {
      kind: "wait",
      message: `Snapshot belongs to group snapshot ${group}: it goes when that is deleted, with all the others of the group`,
    };
  const deletes = content?.spec.deletionPolicy === "Delete";
  // It goes after its content, so that whoever sees it gone knows that the storage is.
  const release = deletes ? [] : [finalizers.asSource, finalizers.inGroup, finalizers.bound];
  return { kind: "go", content, deletes, release };
}
