import {
  type KubernetesObject,
  labelRequirements,
  matchesLabels,
  type ObjectReference,
  type OwnerReference,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Stored,
  type VolumeGroupSnapshot,
  type VolumeSnapshot,
} from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { refersTo } from "../volumes/volume-state.ts";
import type { SnapshotAnnotations } from "./snapshot-names.ts";

/** Whether a reference is to this very object. */
export const isReferenceTo = (reference: ObjectReference, { metadata }: KubernetesObject): boolean =>
  reference.namespace === metadata.namespace && reference.name === metadata.name && reference.uid === metadata.uid;

/** Whether a reference is to this object, or will be once its uid is filled in. */
export const isMeantFor = (reference: ObjectReference, object: KubernetesObject): boolean =>
  isReferenceTo({ uid: object.metadata.uid ?? "", ...withoutEmptyUid(reference) }, object);

const withoutEmptyUid = ({ uid, ...rest }: ObjectReference): ObjectReference => (uid ? { ...rest, uid } : rest);

/** A group as the owner of the snapshots that were taken with it. */
export const ownerOf = ({ metadata: { name, uid } }: Stored<VolumeGroupSnapshot>): OwnerReference => ({
  apiVersion: "groupsnapshot.storage.k8s.io/v1",
  kind: "VolumeGroupSnapshot",
  name,
  uid,
});

/** The group that a snapshot was taken with; undefined for one of its own. */
export const groupOf = (snapshot: VolumeSnapshot): OwnerReference | undefined =>
  snapshot.metadata.ownerReferences?.find(
    ({ kind, apiVersion }) => kind === "VolumeGroupSnapshot" && apiVersion.startsWith("groupsnapshot.storage.k8s.io/"),
  );

/** Whether a snapshot of a group is of a claim in its namespace, too. Throws "invalid" for a selector that is none. */
export function takes({ spec }: VolumeGroupSnapshot, { metadata }: PersistentVolumeClaim): boolean {
  const requirements = labelRequirements(spec.source.selector);
  return requirements !== undefined && matchesLabels(requirements, metadata.labels);
}

/** The content that is made for a snapshot; the same for every try. A group names those of its members as it names the members. */
export const contentNameOf = (snapshot: VolumeSnapshot): string =>
  groupOf(snapshot) === undefined
    ? `snapcontent-${snapshot.metadata.uid}`
    : `snapcontent-${snapshot.metadata.name?.replace(/^snapshot-/, "")}`;

/** A volume that a snapshot can be taken of. */
export interface SourceVolume {
  readonly volume: PersistentVolume;
  readonly driver: string;
  readonly handle: string;
}

/** The volume behind a claim. Throws "failed-precondition" with what is being waited for. */
export function sourceVolume(
  name: string,
  claim: Stored<PersistentVolumeClaim> | undefined,
  volumeOf: (name: string) => Stored<PersistentVolume> | undefined,
): SourceVolume {
  const refuse = (why: string): never => {
    throw new TripodError("failed-precondition", why);
  };
  if (claim === undefined) return refuse(`the claim ${name} is not there`);
  const { volumeName } = claim.spec;
  if (claim.status?.phase !== "Bound" || volumeName === undefined)
    return refuse(`the claim ${name} is not bound to a volume yet`);
  const volume = volumeOf(volumeName);
  if (volume === undefined) return refuse(`the volume ${volumeName} of the claim ${name} is not there`);
  if (!refersTo(volume.spec.claimRef, claim))
    return refuse(`the volume ${volumeName} is bound to another claim than ${name}`);
  const { csi } = volume.spec;
  if (csi === undefined) return refuse(`the volume ${volumeName} of the claim ${name} is no CSI volume`);
  return { volume, driver: csi.driver, handle: csi.volumeHandle };
}

interface SnapshotClass {
  readonly metadata: { readonly name?: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly driver: string;
}

/** The default class of a driver. Throws "failed-precondition" unless there is exactly one. */
export function defaultClass<C extends SnapshotClass>(
  classes: readonly C[],
  driver: string,
  { defaultClass: mark }: SnapshotAnnotations,
): C {
  const found = classes.filter((each) => each.driver === driver && each.metadata.annotations?.[mark] === "true");
  const [only] = found;
  if (only === undefined || found.length > 1)
    throw new TripodError(
      "failed-precondition",
      found.length === 0
        ? `there is no default class for snapshots of driver ${driver}; mark one, or name a class`
        : `there are ${found.length} default classes for snapshots of driver ${driver}; name a class`,
    );
  return only;
}
