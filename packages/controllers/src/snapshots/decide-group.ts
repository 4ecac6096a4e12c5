import { isDeepStrictEqual } from "node:util";
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  Stored,
  VolumeGroupSnapshot,
  VolumeGroupSnapshotClass,
  VolumeGroupSnapshotContent,
  VolumeGroupSnapshotStatus,
  VolumeSnapshot,
  VolumeSnapshotContent,
  VolumeSnapshotInfo,
} from "@tripod/api/kubernetes";
import { messageOf, TripodError } from "@tripod/base";
import { secretReference } from "../csi/secrets.ts";
import { finalizers, groupAnnotations, groupContentNameOf, memberNames, secretMarks } from "./snapshot-names.ts";
import { defaultClass, isMeantFor, isReferenceTo, sourceVolume } from "./snapshot-state.ts";

/** What is to be done about a snapshot of a group that is not being deleted. */
export type GroupDecision =
  | { readonly kind: "none" }
  | { readonly kind: "hold" }
  | { readonly kind: "set-class"; readonly class: string }
  /** Make the content that asks the driver for a snapshot of the claims. */
  | {
      readonly kind: "create-content";
      readonly claims: readonly Stored<PersistentVolumeClaim>[];
      readonly content: VolumeGroupSnapshotContent;
    }
  | { readonly kind: "bind-content"; readonly content: Stored<VolumeGroupSnapshotContent> }
  /** Show the snapshots that the driver took as objects of their own. */
  | {
      readonly kind: "make-members";
      readonly content: Stored<VolumeGroupSnapshotContent>;
      readonly members: readonly VolumeSnapshotInfo[];
    }
  | { readonly kind: "report"; readonly status: VolumeGroupSnapshotStatus }
  | { readonly kind: "fail"; readonly reason: string; readonly message: string; readonly unready: boolean };

export interface GroupFacts {
  content(name: string): Stored<VolumeGroupSnapshotContent> | undefined;
  readonly classes: readonly Stored<VolumeGroupSnapshotClass>[];
  /** Those in its namespace that its selector takes. May throw "invalid". */
  claims(): readonly Stored<PersistentVolumeClaim>[];
  volume(name: string): Stored<PersistentVolume> | undefined;
  snapshot(name: string): VolumeSnapshot | undefined;
  snapshotContent(name: string): VolumeSnapshotContent | undefined;
}

const fail = (reason: string, message: string, unready = true): GroupDecision => ({
  kind: "fail",
  reason,
  message,
  unready,
});

/** Pure: what a snapshot of a group needs next. */
export function decideGroup(group: Stored<VolumeGroupSnapshot>, facts: GroupFacts): GroupDecision {
  // Held from the beginning: what is made for it must not outlive it unnoticed.
  if (group.metadata.finalizers?.includes(finalizers.groupBound) !== true) return { kind: "hold" };
  const given = group.spec.source.volumeGroupSnapshotContentName;
  const bound = group.status?.boundVolumeGroupSnapshotContentName;
  const name = given ?? bound ?? groupContentNameOf(group);
  const content = facts.content(name);
  if (content === undefined) {
    if (given !== undefined || bound !== undefined)
      return fail("GroupSnapshotContentMissing", "VolumeGroupSnapshotContent is missing");
    return withoutContent(group, facts);
  }
  const { source, volumeGroupSnapshotRef: reference } = content.spec;
  if ((given === undefined) !== (source.groupSnapshotHandles === undefined)) {
    const what = given === undefined ? "of a given group, not of volumes" : "of volumes, not of a given group";
    return fail("GroupSnapshotContentMismatch", `VolumeGroupSnapshotContent ${name} is ${what}`);
  }
  if (given !== undefined && !reference.uid && isMeantFor(reference, group)) return { kind: "bind-content", content };
  if (!isReferenceTo(reference, group))
    return bound !== undefined && given === undefined
      ? fail("GroupSnapshotMisbound", "VolumeGroupSnapshotContent is not bound to the VolumeGroupSnapshot correctly")
      : fail(
          "GroupSnapshotContentMisbound",
          `VolumeGroupSnapshotContent ${name} is bound to a different group snapshot`,
        );
  const members = given === undefined ? unmadeMembers(group, content, facts) : [];
  if (members.length > 0) return { kind: "make-members", content, members };
  const status = statusOf(group, content);
  return isDeepStrictEqual(status, group.status) ? { kind: "none" } : { kind: "report", status };
}

/** Snapshots of a content that have no object yet, or none that knows how far they are. */
function unmadeMembers(
  group: Stored<VolumeGroupSnapshot>,
  { status }: VolumeGroupSnapshotContent,
  facts: GroupFacts,
): VolumeSnapshotInfo[] {
  // A member that somebody takes away later is not made again.
  if (group.status?.readyToUse === true || status?.volumeGroupSnapshotHandle === undefined) return [];
  return (status.volumeSnapshotInfoList ?? []).filter((info) => {
    const names = memberNames(group, info.volumeHandle ?? "");
    const content = facts.snapshotContent(names.content)?.status;
    return (
      facts.snapshot(names.snapshot)?.status?.boundVolumeSnapshotContentName === undefined ||
      content?.snapshotHandle === undefined ||
      (info.readyToUse === true && content.readyToUse !== true)
    );
  });
}

function withoutContent(group: Stored<VolumeGroupSnapshot>, facts: GroupFacts): GroupDecision {
  const { volumeGroupSnapshotClassName: className } = group.spec;
  const named = facts.classes.find((each) => each.metadata.name === className);
  if (className !== undefined && named === undefined)
    return fail("GetGroupSnapshotClassFailed", `there is no VolumeGroupSnapshotClass ${className}`, false);
  try {
    const claims = facts.claims();
    const sources = claims.map((claim) => sourceVolume(claim.metadata.name, claim, (name) => facts.volume(name)));
    const [first] = sources;
    if (first === undefined) throw new TripodError("failed-precondition", "its selector takes no claim");
    if (named === undefined)
      return { kind: "set-class", class: defaultClass(facts.classes, first.driver, groupAnnotations).metadata.name };
    const going = claims.find(({ metadata }) => metadata.deletionTimestamp !== undefined);
    if (going !== undefined)
      throw new TripodError("failed-precondition", `the claim ${going.metadata.name} is being deleted`);
    const other = sources.find(({ driver }) => driver !== named.driver);
    if (other !== undefined)
      throw new TripodError(
        "failed-precondition",
        `class ${named.metadata.name} is of driver ${named.driver}, the volume ${other.volume.metadata.name} of ${other.driver}`,
      );
    const content = contentObject(
      group,
      named,
      sources.map(({ handle }) => handle),
    );
    return { kind: "create-content", claims, content };
  } catch (error) {
    return named === undefined
      ? fail(
          "SetDefaultGroupSnapshotClassFailed",
          `Failed to set the default group snapshot class: ${messageOf(error)}`,
          false,
        )
      : fail("GroupSnapshotContentCreationFailed", `Failed to create group snapshot content: ${messageOf(error)}`);
  }
}

function contentObject(
  group: Stored<VolumeGroupSnapshot>,
  groupClass: VolumeGroupSnapshotClass,
  volumeHandles: string[],
): VolumeGroupSnapshotContent {
  const { name, namespace = "default", uid, resourceVersion } = group.metadata;
  const contentName = groupContentNameOf(group);
  const secret = secretReference(
    groupClass.parameters ?? {},
    "group-snapshotter",
    new Map([
      ["volumegroupsnapshot.name", name],
      ["volumegroupsnapshot.namespace", namespace],
      ["volumegroupsnapshotcontent.name", contentName],
    ]),
  );
  const annotations = secretMarks(groupAnnotations, secret);
  return {
    metadata: { name: contentName, annotations, finalizers: [finalizers.groupContent] },
    spec: {
      volumeGroupSnapshotRef: {
        apiVersion: "groupsnapshot.storage.k8s.io/v1",
        kind: "VolumeGroupSnapshot",
        namespace,
        name,
        uid,
        resourceVersion,
      },
      source: { volumeHandles },
      volumeGroupSnapshotClassName: groupClass.metadata.name ?? "",
      deletionPolicy: groupClass.deletionPolicy,
      driver: groupClass.driver,
    },
  };
}

function statusOf(group: VolumeGroupSnapshot, content: VolumeGroupSnapshotContent): VolumeGroupSnapshotStatus {
  const { error: _error, ...old } = group.status ?? {};
  const { creationTime, readyToUse = false, error } = content.status ?? {};
  const createdAt = old.creationTime ?? creationTime;
  return {
    ...old,
    boundVolumeGroupSnapshotContentName: old.boundVolumeGroupSnapshotContentName ?? content.metadata.name ?? "",
    readyToUse,
    ...(createdAt === undefined ? {} : { creationTime: createdAt }),
    ...(error === undefined ? {} : { error }),
  };
}
