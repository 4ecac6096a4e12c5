import { isDeepStrictEqual } from "node:util";
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  Stored,
  VolumeGroupSnapshotContent,
  VolumeSnapshot,
  VolumeSnapshotClass,
  VolumeSnapshotContent,
  VolumeSnapshotStatus,
} from "@tripod/api/kubernetes";
import { messageOf } from "@tripod/base";
import { secretReference } from "../csi/secrets.ts";
import { finalizers, secretMarks, snapshotAnnotations } from "./snapshot-names.ts";
import { contentNameOf, defaultClass, groupOf, isMeantFor, isReferenceTo, sourceVolume } from "./snapshot-state.ts";
import { statusOf } from "./snapshot-status.ts";

/** What is to be done about a snapshot; while its deletion waits for something, only what its status says is. */
export type SnapshotDecision =
  | { readonly kind: "none" }
  | { readonly kind: "hold"; readonly finalizers: readonly string[] }
  /** It names no class, and its driver has a default one. */
  | { readonly kind: "set-class"; readonly class: string }
  /** Make the content that asks the driver for a snapshot of the claim. */
  | {
      readonly kind: "create-content";
      readonly claim: Stored<PersistentVolumeClaim>;
      readonly content: VolumeSnapshotContent;
    }
  /** The content was made by hand for this snapshot: fill in what only now is known. */
  | { readonly kind: "bind-content"; readonly content: Stored<VolumeSnapshotContent> }
  | { readonly kind: "report"; readonly status: VolumeSnapshotStatus }
  /** Its group is known by its status alone. */
  | { readonly kind: "join-group"; readonly group: string }
  /** Something stands in the way. `unready`: it cannot be used any more. */
  | { readonly kind: "fail"; readonly reason: string; readonly message: string; readonly unready: boolean };

export interface SnapshotFacts {
  content(name: string): Stored<VolumeSnapshotContent> | undefined;
  readonly classes: readonly Stored<VolumeSnapshotClass>[];
  /** The claim that it is taken of. */
  readonly claim: Stored<PersistentVolumeClaim> | undefined;
  volume(name: string): Stored<PersistentVolume> | undefined;
  readonly groupContents: readonly VolumeGroupSnapshotContent[];
}

const fail = (reason: string, message: string, unready = true): SnapshotDecision => ({
  kind: "fail",
  reason,
  message,
  unready,
});

/** Pure: what a snapshot needs next. */
export function decideSnapshot(snapshot: Stored<VolumeSnapshot>, facts: SnapshotFacts): SnapshotDecision {
  const { status } = snapshot;
  const found = contentOf(snapshot, facts);
  if ("kind" in found) return found;
  const { content } = found;
  const missing = [
    finalizers.asSource,
    ...(content?.spec.deletionPolicy === "Delete" && status?.boundVolumeSnapshotContentName !== undefined
      ? [finalizers.bound]
      : []),
  ].filter((finalizer) => snapshot.metadata.finalizers?.includes(finalizer) !== true);
  if (missing.length > 0 && snapshot.metadata.deletionTimestamp === undefined)
    return { kind: "hold", finalizers: missing };
  if (content === undefined) return withoutContent(snapshot, facts);
  const { uid } = content.spec.volumeSnapshotRef;
  if (snapshot.spec.source.volumeSnapshotContentName !== undefined && !uid) return { kind: "bind-content", content };
  return follow(snapshot, content, facts);
}

/** The content that belongs to a snapshot, if it is there; or why the one found does not. */
function contentOf(
  snapshot: Stored<VolumeSnapshot>,
  facts: SnapshotFacts,
): SnapshotDecision | { readonly content: Stored<VolumeSnapshotContent> | undefined } {
  const given = snapshot.spec.source.volumeSnapshotContentName;
  const bound = snapshot.status?.boundVolumeSnapshotContentName;
  const name = given ?? bound ?? contentNameOf(snapshot);
  const content = facts.content(name);
  if (content === undefined) return { content };
  if (bound === undefined || given !== undefined) {
    if (given !== undefined && content.spec.source.snapshotHandle === undefined)
      return fail("SnapshotContentMismatch", `VolumeSnapshotContent ${name} is of a volume, not of a given snapshot`);
    if (given === undefined && content.spec.source.volumeHandle === undefined)
      return fail("SnapshotContentMismatch", `VolumeSnapshotContent ${name} is of a given snapshot, not of a volume`);
    if (!isMeantFor(content.spec.volumeSnapshotRef, snapshot))
      return fail("SnapshotContentMisbound", `VolumeSnapshotContent ${name} is bound to a different snapshot`);
  } else if (!isReferenceTo(content.spec.volumeSnapshotRef, snapshot))
    return fail("SnapshotMisbound", "VolumeSnapshotContent is not bound to the VolumeSnapshot correctly");
  return { content };
}

function withoutContent(snapshot: Stored<VolumeSnapshot>, facts: SnapshotFacts): SnapshotDecision {
  const { source, volumeSnapshotClassName } = snapshot.spec;
  const isGivenOrBound =
    source.volumeSnapshotContentName !== undefined || snapshot.status?.boundVolumeSnapshotContentName !== undefined;
  // The group makes the contents of its members.
  if (groupOf(snapshot) !== undefined && snapshot.status?.readyToUse !== true) return { kind: "none" };
  if (isGivenOrBound) return fail("SnapshotContentMissing", "VolumeSnapshotContent is missing");
  const named = facts.classes.find((each) => each.metadata.name === volumeSnapshotClassName);
  if (volumeSnapshotClassName !== undefined && named === undefined)
    return fail("GetSnapshotClassFailed", `there is no VolumeSnapshotClass ${volumeSnapshotClassName}`, false);
  const claimName = source.persistentVolumeClaimName ?? "";
  try {
    const { volume, driver, handle } = sourceVolume(claimName, facts.claim, (each) => facts.volume(each));
    if (named === undefined) {
      const chosen = defaultClass(facts.classes, driver, snapshotAnnotations);
      return { kind: "set-class", class: chosen.metadata.name };
    }
    if (facts.claim === undefined) return { kind: "none" }; // sourceVolume has refused that
    if (named.driver !== driver)
      return creationFailed(
        `class ${named.metadata.name} is of driver ${named.driver}, the volume of the claim ${claimName} of ${driver}`,
      );
    if (facts.claim.metadata.deletionTimestamp !== undefined)
      return creationFailed(`the claim ${claimName} is being deleted`);
    const content = contentObject(snapshot, named, { handle, mode: volume.spec.volumeMode });
    return { kind: "create-content", claim: facts.claim, content };
  } catch (error) {
    return named === undefined
      ? fail("SetDefaultSnapshotClassFailed", `Failed to set the default snapshot class: ${messageOf(error)}`, false)
      : creationFailed(messageOf(error));
  }
}

const creationFailed = (why: string): SnapshotDecision =>
  fail("SnapshotContentCreationFailed", `Failed to create snapshot content: ${why}`);

function contentObject(
  snapshot: Stored<VolumeSnapshot>,
  snapshotClass: VolumeSnapshotClass,
  { handle, mode }: { readonly handle: string; readonly mode: PersistentVolume["spec"]["volumeMode"] },
): VolumeSnapshotContent {
  const { name, namespace = "default", uid, resourceVersion } = snapshot.metadata;
  const contentName = contentNameOf(snapshot);
  const secret = secretReference(
    snapshotClass.parameters ?? {},
    "snapshotter",
    new Map([
      ["volumesnapshot.name", name],
      ["volumesnapshot.namespace", namespace],
      ["volumesnapshotcontent.name", contentName],
    ]),
  );
  return {
    metadata: {
      name: contentName,
      annotations: secretMarks(snapshotAnnotations, secret),
      finalizers: [finalizers.content],
    },
    spec: {
      volumeSnapshotRef: {
        apiVersion: "snapshot.storage.k8s.io/v1",
        kind: "VolumeSnapshot",
        namespace,
        name,
        uid,
        resourceVersion,
      },
      source: { volumeHandle: handle },
      volumeSnapshotClassName: snapshotClass.metadata.name ?? "",
      deletionPolicy: snapshotClass.deletionPolicy,
      driver: snapshotClass.driver,
      ...(mode === undefined ? {} : { sourceVolumeMode: mode }),
    },
  };
}

function follow(
  snapshot: Stored<VolumeSnapshot>,
  content: Stored<VolumeSnapshotContent>,
  facts: SnapshotFacts,
): SnapshotDecision {
  const handle = content.status?.volumeGroupSnapshotHandle;
  const group = facts.groupContents.find(
    ({ status }) => handle !== undefined && status?.volumeGroupSnapshotHandle === handle,
  );
  const groupName = group?.spec.volumeGroupSnapshotRef.name;
  // Its status would not say that it belongs to a group, which is not there yet.
  if (handle !== undefined && groupName === undefined && snapshot.status?.volumeGroupSnapshotName === undefined)
    return { kind: "none" };
  const status = statusOf(snapshot, content, groupName);
  if (!isDeepStrictEqual(status, snapshot.status)) return { kind: "report", status };
  if (groupName !== undefined && groupOf(snapshot) === undefined) return { kind: "join-group", group: groupName };
  return { kind: "none" };
}
