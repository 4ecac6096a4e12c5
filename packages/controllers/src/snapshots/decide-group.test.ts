import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  Stored,
  VolumeGroupSnapshot,
  VolumeGroupSnapshotClass,
  VolumeGroupSnapshotContent,
  VolumeSnapshot,
} from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { decideGroupDeletion } from "./decide-group-deletion.ts";
import { decideGroup, type GroupFacts } from "./decide-group.ts";
import { memberContent, memberSnapshot } from "./group-members.ts";
import {
  finalizers,
  groupAnnotations,
  groupHandleAnnotation,
  memberNames,
  snapshotAnnotations,
} from "./snapshot-names.ts";

const stored = (name: string, extra: object = {}) => ({
  name,
  namespace: "n",
  uid: `uid-${name}`,
  resourceVersion: "1",
  creationTimestamp: "2024-01-01T00:00:00Z",
  ...extra,
});
const own = "groupsnapcontent-uid-g";
const held = { finalizers: [finalizers.groupBound] };
const group = (
  parts: Partial<VolumeGroupSnapshot["spec"]> & Pick<VolumeGroupSnapshot, "status"> = {},
  meta: object = held,
): Stored<VolumeGroupSnapshot> => {
  const { status, ...spec } = parts;
  return {
    metadata: stored("g", meta),
    spec: { source: { selector: {} }, ...spec },
    ...(status === undefined ? {} : { status }),
  };
};
const info = { volumeHandle: "v", snapshotHandle: "h", readyToUse: true, restoreSize: 5, creationTime: 7 };
const content = (
  spec: Partial<VolumeGroupSnapshotContent["spec"]> = {},
  status?: VolumeGroupSnapshotContent["status"],
): Stored<VolumeGroupSnapshotContent> => ({
  metadata: stored(own, { annotations: { [groupAnnotations.secretName]: "key" } }),
  spec: {
    driver: "d",
    deletionPolicy: "Delete",
    source: { volumeHandles: ["v"] },
    volumeGroupSnapshotRef: { namespace: "n", name: "g", uid: "uid-g" },
    ...spec,
  },
  ...(status === undefined ? {} : { status }),
});
const claim = (name: string, phase: "Bound" | "Pending" = "Bound"): Stored<PersistentVolumeClaim> => ({
  metadata: stored(name),
  spec: { volumeName: `pv-${name}` },
  status: { phase },
});
const volume = (name: string, driver = "d"): Stored<PersistentVolume> => ({
  metadata: stored(name),
  spec: {
    csi: { driver, volumeHandle: "v" },
    claimRef: { namespace: "n", name: name.slice(3), uid: `uid-${name.slice(3)}` },
    volumeMode: "Block",
  },
});
const made = (name: string, isDefault = false): Stored<VolumeGroupSnapshotClass> => ({
  metadata: stored(name, isDefault ? { annotations: { [groupAnnotations.defaultClass]: "true" } } : {}),
  driver: "d",
  deletionPolicy: "Delete",
});
const facts = (world: Partial<GroupFacts> & { readonly at?: Stored<VolumeGroupSnapshotContent> } = {}): GroupFacts => ({
  content: (name) => (name === own || name === "given" ? world.at : undefined),
  classes: [made("fast"), made("usual", true)],
  claims: () => [claim("a"), claim("b")],
  volume: (name) => volume(name),
  snapshot: () => undefined,
  snapshotContent: () => undefined,
  ...world,
});
const refuse = (): never => {
  throw new TripodError("invalid", "label selector: Is is not a valid operator");
};
const classed = { volumeGroupSnapshotClassName: "fast" };
const taken = { volumeGroupSnapshotHandle: "gh", readyToUse: true, volumeSnapshotInfoList: [info] };
const given = { source: { volumeGroupSnapshotContentName: "given" } };
const handles = { groupSnapshotHandles: { volumeGroupSnapshotHandle: "gh", volumeSnapshotHandles: ["h"] } };

const rows: readonly (readonly [why: string, group: Stored<VolumeGroupSnapshot>, facts: GroupFacts, want: string])[] = [
  ["a new one is held before anything is made", group({}, {}), facts(), "hold"],
  ["one without a class gets the default", group(), facts(), "set-class"],
  ["one with a class is taken", group(classed), facts(), "create-content"],
  ["no claim has its labels", group(classed), facts({ claims: () => [] }), "GroupSnapshotContentCreationFailed"],
  ["its selector is none", group(classed), facts({ claims: refuse }), "GroupSnapshotContentCreationFailed"],
  ["no class can be guessed", group(), facts({ claims: () => [] }), "SetDefaultGroupSnapshotClassFailed"],
  ["its class is not there", group(classed), facts({ classes: [] }), "GetGroupSnapshotClassFailed"],
  [
    "one of its claims is not bound",
    group(classed),
    facts({ claims: () => [claim("a"), claim("b", "Pending")] }),
    "GroupSnapshotContentCreationFailed",
  ],
  [
    "its volumes are of two drivers",
    group(classed),
    facts({ volume: (name) => volume(name, name === "pv-b" ? "e" : "d") }),
    "GroupSnapshotContentCreationFailed",
  ],
  ["its content is shown", group(), facts({ at: content() }), "report"],
  ["what was taken is shown first", group(), facts({ at: content({}, taken) }), "make-members"],
  [
    "its content is missing",
    group({ status: { boundVolumeGroupSnapshotContentName: "x", readyToUse: true } }),
    facts(),
    "GroupSnapshotContentMissing",
  ],
  [
    "its content was given to another",
    group({ status: { boundVolumeGroupSnapshotContentName: own, readyToUse: true } }),
    facts({ at: content({ volumeGroupSnapshotRef: { namespace: "n", name: "x", uid: "x" } }) }),
    "GroupSnapshotMisbound",
  ],
  ["a given content is missing", group(given), facts(), "GroupSnapshotContentMissing"],
  ["a given content is of volumes", group(given), facts({ at: content() }), "GroupSnapshotContentMismatch"],
  [
    "a given content is bound",
    group(given),
    facts({ at: content({ source: handles, volumeGroupSnapshotRef: { namespace: "n", name: "g" } }) }),
    "bind-content",
  ],
  [
    "a given content is another's",
    group(given),
    facts({ at: content({ source: handles, volumeGroupSnapshotRef: { namespace: "n", name: "x", uid: "x" } }) }),
    "GroupSnapshotContentMisbound",
  ],
  [
    "nobody makes the members of a given one",
    group(given),
    facts({ at: content({ source: handles }, taken) }),
    "report",
  ],
];
for (const [why, one, world, want] of rows)
  test(`a group: ${why}`, () => {
    const decision = decideGroup(one, world);
    assert.equal(decision.kind === "fail" ? decision.reason : decision.kind, want, JSON.stringify(decision));
  });

test("a member is a snapshot with a content of its own, bound to each other and to the group", () => {
  const member = { group: group(), content: content({}, taken), info, volume: volume("pv-a") };
  const snapshot = memberSnapshot(member);
  assert.equal(snapshot.spec.source.persistentVolumeClaimName, "a");
  assert.deepEqual(snapshot.metadata.ownerReferences?.[0]?.uid, "uid-g");
  assert.ok(snapshot.metadata.finalizers?.includes(finalizers.inGroup));
  const its = memberContent(member, { ...snapshot, metadata: stored(snapshot.metadata.name ?? "") });
  assert.equal(its.metadata.name, memberNames(group(), "v").content);
  assert.equal(its.metadata.annotations?.[groupHandleAnnotation], "gh");
  assert.equal(its.metadata.annotations?.[snapshotAnnotations.secretName], "key");
  assert.equal(its.spec.sourceVolumeMode, "Block");
  assert.equal(its.spec.volumeSnapshotRef.name, snapshot.metadata.name);
});

test("a group goes after its storage where that goes, and after who restores from a member; its members are deleted with it", () => {
  const owned = (name: string, extra: object = {}): Stored<VolumeSnapshot> => ({
    metadata: stored(name, { ownerReferences: [{ apiVersion: "x", kind: "x", name: "g", uid: "uid-g" }], ...extra }),
    spec: { source: {} },
  });
  const going = owned("gone", { deletionTimestamp: "2024-01-01T00:00:00Z" });
  const others: Stored<VolumeSnapshot> = { metadata: stored("other"), spec: { source: {} } };
  const snapshots = [owned("one"), going, others];
  const deleted = decideGroupDeletion(group(), { content: content(), snapshots, claims: [] });
  assert.deepEqual(deleted, {
    kind: "go",
    content: content(),
    deletes: true,
    members: [owned("one")],
    releases: false,
  });
  const kept = content({ deletionPolicy: "Retain" });
  const left = decideGroupDeletion(group(), { content: kept, snapshots: [], claims: [] });
  assert.deepEqual(left, { kind: "go", content: kept, deletes: false, members: [], releases: true });
  const dataSource = { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name: "one" };
  const restoring = { metadata: { name: "new" }, spec: { dataSource }, status: { phase: "Pending" as const } };
  const waiting = decideGroupDeletion(group(), { content: content(), snapshots, claims: [restoring] });
  assert.match(waiting.kind === "wait" ? waiting.message : "", /goes when new is bound or gone/);
});
