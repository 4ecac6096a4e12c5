import { createHash } from "node:crypto";
import type { SecretReference, VolumeGroupSnapshot } from "@tripod/api/kubernetes";

/** Finalizers by which snapshots and what belongs to them are held; the names are upstream's. */
export const finalizers = {
  /** On a snapshot: volumes may be made of it. */
  asSource: "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection",
  /** On a snapshot whose content goes with it: until the content has gone. */
  bound: "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection",
  /** On a snapshot of a group: until the group has gone. */
  inGroup: "snapshot.storage.kubernetes.io/volumesnapshot-in-group-protection",
  /** On a content: until its storage has gone. */
  content: "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection",
  groupBound: "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-bound-protection",
  groupContent: "groupsnapshot.storage.kubernetes.io/volumegroupsnapshotcontent-bound-protection",
} as const;

/** The annotations of one family of objects: snapshots, or snapshots of groups. */
export interface SnapshotAnnotations {
  /** On a class: the one for snapshots that name none. */
  readonly defaultClass: string;
  /** On a content: the driver was asked to take the snapshot and has not answered for good. */
  readonly beingCreated: string;
  /** On a content: its snapshot is being deleted, so the content may go. */
  readonly beingDeleted: string;
  readonly secretName: string;
  readonly secretNamespace: string;
}

const annotationsOf = (group: string, thing: string): SnapshotAnnotations => ({
  defaultClass: `${group}/is-default-class`,
  beingCreated: `${group}/${thing}-being-created`,
  beingDeleted: `${group}/${thing}-being-deleted`,
  secretName: `${group}/deletion-secret-name`,
  secretNamespace: `${group}/deletion-secret-namespace`,
});

export const snapshotAnnotations = annotationsOf("snapshot.storage.kubernetes.io", "volumesnapshot");
export const groupAnnotations = annotationsOf("groupsnapshot.storage.kubernetes.io", "volumegroupsnapshot");

/** The marks by which a content keeps the secret that it was made with. */
export const secretMarks = (
  { secretName, secretNamespace }: SnapshotAnnotations,
  secret: Required<SecretReference> | undefined,
): Record<string, string> =>
  secret === undefined ? {} : { [secretName]: secret.name, [secretNamespace]: secret.namespace };

/** On the content of a group's member: the group's handle. The driver makes and deletes such a snapshot with its group. */
export const groupHandleAnnotation = "groupsnapshot.storage.k8s.io/volumeGroupSnapshotHandle";

/** The content that is made for a snapshot of a group; the same for every try. */
export const groupContentNameOf = (snapshot: VolumeGroupSnapshot): string =>
  `groupsnapcontent-${snapshot.metadata.uid}`;

/** What a driver is asked to call the snapshot or group of this uid. */
export const driverSnapshotName = (uid: string): string => `snapshot-${uid}`;
export const driverGroupSnapshotName = (uid: string): string => `groupsnapshot-${uid}`;

/** The names of a group's snapshot of one volume, and of its content. */
export function memberNames(group: VolumeGroupSnapshot, volumeHandle: string): { snapshot: string; content: string } {
  const digest = createHash("sha256").update(`${group.metadata.uid}${volumeHandle}`).digest("hex");
  return { snapshot: `snapshot-${digest}`, content: `snapcontent-${digest}` };
}
