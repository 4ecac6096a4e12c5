import type {
  PersistentVolumeClaim,
  Stored,
  VolumeGroupSnapshot,
  VolumeGroupSnapshotContent,
  VolumeSnapshot,
} from "@tripod/api/kubernetes";
import { isRestoring } from "./decide-snapshot-deletion.ts";
import { isReferenceTo } from "./snapshot-state.ts";

export interface GroupDeletionFacts {
  /** As the API server has it now. */
  readonly content: Stored<VolumeGroupSnapshotContent> | undefined;
  /** Snapshots and claims in its namespace. */
  readonly snapshots: readonly Stored<VolumeSnapshot>[];
  readonly claims: readonly PersistentVolumeClaim[];
}

export type GroupDeletion =
  | { readonly kind: "wait"; readonly message: string }
  | {
      readonly kind: "go";
      readonly content: Stored<VolumeGroupSnapshotContent> | undefined;
      readonly deletes: boolean;
      /** To be deleted with it; they wait for the group's object to go. */
      readonly members: readonly Stored<VolumeSnapshot>[];
      /** Nothing holds the group any more. */
      readonly releases: boolean;
    };

/** Pure: how a snapshot of a group goes: its storage, then its content, then it, then its members. */
export function decideGroupDeletion(group: Stored<VolumeGroupSnapshot>, facts: GroupDeletionFacts): GroupDeletion {
  const members = facts.snapshots.filter(({ metadata }) =>
    metadata.ownerReferences?.some(({ uid }) => uid === group.metadata.uid),
  );
  for (const member of members) {
    const restoring = facts.claims.find((claim) => isRestoring(claim, member));
    if (restoring !== undefined)
      return {
        kind: "wait",
        message: `Snapshot ${member.metadata.name} of the group is being used to restore a PVC: it goes when ${restoring.metadata.name} is bound or gone`,
      };
  }
  const content =
    facts.content !== undefined && isReferenceTo(facts.content.spec.volumeGroupSnapshotRef, group)
      ? facts.content
      : undefined;
  const deletes = content?.spec.deletionPolicy === "Delete";
  return {
    kind: "go",
    content,
    deletes,
    members: members.filter(({ metadata }) => metadata.deletionTimestamp === undefined),
    releases: !deletes,
  };
}
