import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  Stored,
  VolumeSnapshot,
  VolumeSnapshotClass,
  VolumeSnapshotContent,
} from "@tripod/api/kubernetes";
import { decideSnapshotDeletion } from "./decide-snapshot-deletion.ts";
import { decideSnapshot, type SnapshotFacts } from "./decide-snapshot.ts";
import { finalizers, snapshotAnnotations } from "./snapshot-names.ts";

const stored = (name: string, extra: object = {}) => ({
  name,
  namespace: "n",
  uid: `uid-${name}`,
  resourceVersion: "1",
  creationTimestamp: "2024-01-01T00:00:00Z",
  ...extra,
});
const held = { finalizers: [finalizers.asSource, finalizers.bound] };
interface Parts {
  readonly source?: VolumeSnapshot["spec"]["source"];
  readonly className?: string;
  readonly status?: VolumeSnapshot["status"];
  readonly meta?: object;
}
const snapshot = ({ source, className, status, meta = held }: Parts = {}): Stored<VolumeSnapshot> => ({
  metadata: stored("s", meta),
  spec: {
    source: source ?? { persistentVolumeClaimName: "data" },
    ...(className === undefined ? {} : { volumeSnapshotClassName: className }),
  },
  ...(status === undefined ? {} : { status }),
});
const content = (
  name: string,
  spec: Partial<VolumeSnapshotContent["spec"]> = {},
  status?: VolumeSnapshotContent["status"],
): Stored<VolumeSnapshotContent> => ({
  metadata: stored(name),
  spec: {
    driver: "d",
    deletionPolicy: "Delete",
    source: { volumeHandle: "v" },
    volumeSnapshotRef: { namespace: "n", name: "s", uid: "uid-s" },
    ...spec,
  },
  ...(status === undefined ? {} : { status }),
});
const claim: Stored<PersistentVolumeClaim> = {
  metadata: stored("data"),
  spec: { volumeName: "pv" },
  status: { phase: "Bound" },
};
const volume: Stored<PersistentVolume> = {
  metadata: stored("pv"),
  spec: { csi: { driver: "d", volumeHandle: "v" }, claimRef: { namespace: "n", name: "data", uid: "uid-data" } },
};
const made = (name: string, driver = "d", isDefault = false): Stored<VolumeSnapshotClass> => ({
  metadata: stored(name, isDefault ? { annotations: { [snapshotAnnotations.defaultClass]: "true" } } : {}),
  driver,
  deletionPolicy: "Delete",
  parameters: {
    "csi.storage.k8s.io/snapshotter-secret-name": "${volumesnapshot.name}",
    "csi.storage.k8s.io/snapshotter-secret-namespace": "${volumesnapshot.namespace}",
  },
});

interface World {
  readonly contents?: readonly Stored<VolumeSnapshotContent>[];
  readonly classes?: readonly Stored<VolumeSnapshotClass>[];
  readonly claim?: Stored<PersistentVolumeClaim> | undefined;
}
const facts = (world: World): SnapshotFacts => ({
  content: (name) => world.contents?.find(({ metadata }) => metadata.name === name),
  classes: world.classes ?? [made("fast"), made("other", "e"), made("usual", "d", true)],
  claim: "claim" in world ? world.claim : claim,
  volume: (name) => (name === "pv" ? volume : undefined),
  groupContents: [],
});
const own = "snapcontent-uid-s";
const given = { volumeSnapshotContentName: "given" };
const ofSnapshot = { source: { snapshotHandle: "h" } };
const unbound = { ...ofSnapshot, volumeSnapshotRef: { namespace: "n", name: "s" } };

const rows: readonly (readonly [why: string, parts: Parts, world: World, want: object])[] = [
  ["a new one is held", { meta: {} }, {}, { kind: "hold", finalizers: [finalizers.asSource] }],
  ["one without a class gets the default", {}, {}, { kind: "set-class", class: "usual" }],
  ["one with a class is taken", { className: "fast" }, {}, { kind: "create-content" }],
  [
    "its class is not there",
    { className: "x" },
    {},
    { kind: "fail", reason: "GetSnapshotClassFailed", unready: false },
  ],
  ["there is no default", {}, { classes: [] }, { kind: "fail", reason: "SetDefaultSnapshotClassFailed" }],
  [
    "there are two defaults",
    {},
    { classes: [made("a", "d", true), made("b", "d", true)] },
    { kind: "fail", reason: "SetDefaultSnapshotClassFailed" },
  ],
  [
    "its class is of another driver",
    { className: "other" },
    {},
    { kind: "fail", reason: "SnapshotContentCreationFailed" },
  ],
  [
    "its claim is not there",
    { className: "fast" },
    { claim: undefined },
    { kind: "fail", reason: "SnapshotContentCreationFailed" },
  ],
  [
    "its claim is being deleted",
    { className: "fast" },
    { claim: { ...claim, metadata: stored("data", { deletionTimestamp: "2024-01-01T00:00:00Z" }) } },
    { kind: "fail", reason: "SnapshotContentCreationFailed" },
  ],
  [
    "its content is shown",
    {},
    { contents: [content(own)] },
    { kind: "report", status: { boundVolumeSnapshotContentName: own, readyToUse: false } },
  ],
  [
    "a bound one is held until its content has gone",
    { meta: { finalizers: [finalizers.asSource] }, status: { boundVolumeSnapshotContentName: own } },
    { contents: [content(own)] },
    { kind: "hold", finalizers: [finalizers.bound] },
  ],
  [
    "it is ready",
    { status: { boundVolumeSnapshotContentName: own, readyToUse: false, error: { message: "x" } } },
    { contents: [content(own, {}, { readyToUse: true, restoreSize: 1024, creationTime: 1.7e18 })] },
    {
      kind: "report",
      status: {
        boundVolumeSnapshotContentName: own,
        readyToUse: true,
        restoreSize: "1Ki",
        creationTime: "2023-11-14T22:13:20Z",
      },
    },
  ],
  [
    "nothing changed",
    { status: { boundVolumeSnapshotContentName: own, readyToUse: false } },
    { contents: [content(own)] },
    { kind: "none" },
  ],
  [
    "its content was taken away",
    { status: { boundVolumeSnapshotContentName: own, readyToUse: true } },
    {},
    { kind: "fail", reason: "SnapshotContentMissing", unready: true },
  ],
  [
    "its content was given to another",
    { status: { boundVolumeSnapshotContentName: own, readyToUse: true } },
    { contents: [content(own, { volumeSnapshotRef: { namespace: "n", name: "t", uid: "t" } })] },
    { kind: "fail", reason: "SnapshotMisbound" },
  ],
  ["a given content is not there", { source: given }, {}, { kind: "fail", reason: "SnapshotContentMissing" }],
  ["a given content is bound", { source: given }, { contents: [content("given", unbound)] }, { kind: "bind-content" }],
  [
    "a given content is another's",
    { source: given },
    { contents: [content("given", { ...ofSnapshot, volumeSnapshotRef: { namespace: "n", name: "t" } })] },
    { kind: "fail", reason: "SnapshotContentMisbound" },
  ],
  [
    "a given content is of a volume",
    { source: given },
    { contents: [content("given")] },
    { kind: "fail", reason: "SnapshotContentMismatch" },
  ],
  [
    "a group's member waits for its group",
    {
      meta: {
        ...held,
        ownerReferences: [
          { apiVersion: "groupsnapshot.storage.k8s.io/v1", kind: "VolumeGroupSnapshot", name: "g", uid: "g" },
        ],
      },
    },
    {},
    { kind: "none" },
  ],
];
for (const [why, parts, world, want] of rows)
  test(`a snapshot: ${why}`, () => {
    const decision = decideSnapshot(snapshot(parts), facts(world));
    for (const [key, value] of Object.entries(want))
      assert.deepEqual(new Map<string, unknown>(Object.entries(decision)).get(key), value, JSON.stringify(decision));
  });

test("the content that is made says all that the driver's side needs", () => {
  const decision = decideSnapshot(snapshot({ className: "fast" }), facts({}));
  assert.deepEqual(decision.kind === "create-content" ? decision.content : decision, {
    metadata: {
      name: own,
      annotations: { [snapshotAnnotations.secretName]: "s", [snapshotAnnotations.secretNamespace]: "n" },
      finalizers: [finalizers.content],
    },
    spec: {
      volumeSnapshotRef: {
        apiVersion: "snapshot.storage.k8s.io/v1",
        kind: "VolumeSnapshot",
        namespace: "n",
        name: "s",
        uid: "uid-s",
        resourceVersion: "1",
      },
      source: { volumeHandle: "v" },
      volumeSnapshotClassName: "fast",
      deletionPolicy: "Delete",
      driver: "d",
    },
  });
});

test("a snapshot goes after its content, or without it where that is kept, and after who restores from it and its group", () => {
  const all = [finalizers.asSource, finalizers.inGroup, finalizers.bound];
  const decide = (parts: Partial<Parameters<typeof decideSnapshotDeletion>[1]>) =>
    decideSnapshotDeletion(snapshot(), { content: undefined, claims: [], group: undefined, ...parts });
  const [deleted, kept] = [content(own), content(own, { deletionPolicy: "Retain" })];
  assert.deepEqual(decide({}), { kind: "go", content: undefined, deletes: false, release: all });
  assert.deepEqual(decide({ content: deleted }), { kind: "go", content: deleted, deletes: true, release: [] });
  assert.deepEqual(decide({ content: kept }), { kind: "go", content: kept, deletes: false, release: all });
  const another = content(own, { volumeSnapshotRef: { namespace: "n", name: "s", uid: "another" } });
  assert.deepEqual(decide({ content: another }), { kind: "go", content: undefined, deletes: false, release: all });
  const dataSource = { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name: "s" };
  const restoring = { metadata: { name: "new" }, spec: { dataSource }, status: { phase: "Pending" as const } };
  const waiting = decide({ content: deleted, claims: [restoring] });
  assert.match(waiting.kind === "wait" ? waiting.message : "", /goes when new is bound or gone/);
  const restored = { ...restoring, status: { phase: "Bound" as const } };
  assert.equal(decide({ content: deleted, claims: [restored] }).kind, "go");
  const member = decide({ content: deleted, group: "g" });
  assert.match(member.kind === "wait" ? member.message : "", /belongs to group snapshot g/);
});
