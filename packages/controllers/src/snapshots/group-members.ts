import type {
  PersistentVolume,
  Stored,
  VolumeGroupSnapshot,
  VolumeGroupSnapshotContent,
  VolumeSnapshot,
  VolumeSnapshotContent,
  VolumeSnapshotInfo,
} from "@tripod/api/kubernetes";
import { codeOf, failpoint } from "@tripod/base";
import { type KubeClient, volumeSnapshotContents, volumeSnapshots } from "@tripod/kube";
import {
  finalizers,
  groupAnnotations,
  groupHandleAnnotation,
  memberNames,
  snapshotAnnotations,
} from "./snapshot-names.ts";
import { ownerOf } from "./snapshot-state.ts";

/** A group whose driver took one snapshot of a volume. */
export interface Member {
  readonly group: Stored<VolumeGroupSnapshot>;
  readonly content: Stored<VolumeGroupSnapshotContent>;
  readonly info: VolumeSnapshotInfo;
  /** The volume that it is of, if it is still there. */
  readonly volume: PersistentVolume | undefined;
}

/** Pure: the snapshot of one volume of a group, as a VolumeSnapshot. */
export function memberSnapshot({ group, info, volume }: Member): VolumeSnapshot {
  const { namespace = "default" } = group.metadata;
  return {
    metadata: {
      name: memberNames(group, info.volumeHandle ?? "").snapshot,
      namespace,
      ownerReferences: [ownerOf(group)],
      finalizers: [finalizers.inGroup, finalizers.asSource],
    },
    spec: { source: { persistentVolumeClaimName: volume?.spec.claimRef?.name ?? "" } },
  };
}

/** Pure: the content of a member, bound to it. */
export function memberContent(member: Member, snapshot: Stored<VolumeSnapshot>): VolumeSnapshotContent {
  const { group, content, info, volume } = member;
  const { name, namespace = "default", uid } = snapshot.metadata;
  const marks = content.metadata.annotations ?? {};
  const secrets = (["secretName", "secretNamespace"] as const).flatMap((key) => {
    const value = marks[groupAnnotations[key]];
    return value === undefined ? [] : [[snapshotAnnotations[key], value]];
  });
  const volumeMode = volume?.spec.volumeMode;
  return {
    metadata: {
      name: memberNames(group, info.volumeHandle ?? "").content,
      annotations: {
        [groupHandleAnnotation]: content.status?.volumeGroupSnapshotHandle ?? "",
        ...Object.fromEntries(secrets),
      },
      finalizers: [finalizers.content],
    },
    spec: {
      volumeSnapshotRef: { apiVersion: "snapshot.storage.k8s.io/v1", kind: "VolumeSnapshot", namespace, name, uid },
      deletionPolicy: content.spec.deletionPolicy,
      driver: content.spec.driver,
      source: { volumeHandle: info.volumeHandle ?? "" },
      ...(volumeMode === undefined ? {} : { sourceVolumeMode: volumeMode }),
    },
  };
}

/** Makes a member's objects and joins them, whatever of it is missing. */
export async function makeMember(client: KubeClient, member: Member): Promise<void> {
  const snapshots = client.resource(volumeSnapshots);
  const contents = client.resource(volumeSnapshotContents);
  const wanted = memberSnapshot(member);
  const { namespace = "default" } = wanted.metadata;
  const snapshot = await madeOnce(
    () => snapshots.create(wanted),
    () => snapshots.get(wanted.metadata.name ?? "", { namespace }),
  );
  failpoint("controllers.group-snapshots.member-made");
  const wantedContent = memberContent(member, snapshot);
  const content = await madeOnce(
    () => contents.create(wantedContent),
    () => contents.get(wantedContent.metadata.name ?? ""),
  );
  failpoint("controllers.group-snapshots.member-content-made");
  const { info } = member;
  const status = {
    snapshotHandle: info.snapshotHandle,
    volumeGroupSnapshotHandle: member.content.status?.volumeGroupSnapshotHandle,
    readyToUse: info.readyToUse === true || content.status?.readyToUse === true,
    ...(info.creationTime === undefined ? {} : { creationTime: info.creationTime }),
    ...(info.restoreSize === undefined ? {} : { restoreSize: info.restoreSize }),
  };
  const contentPatch = { metadata: { uid: content.metadata.uid }, status };
  await contents.patch(content.metadata.name, contentPatch, { subresource: "status" });
  const bound = { boundVolumeSnapshotContentName: content.metadata.name };
  const snapshotPatch = { metadata: { uid: snapshot.metadata.uid }, status: bound };
  await snapshots.patch(snapshot.metadata.name, snapshotPatch, { namespace, subresource: "status" });
  failpoint("controllers.group-snapshots.member-recorded");
}

async function madeOnce<T>(make: () => Promise<T>, find: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    if (codeOf(error) !== "already-exists") throw error;
    return find();
  }
}
