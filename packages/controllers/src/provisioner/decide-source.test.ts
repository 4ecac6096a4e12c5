import assert from "node:assert/strict";
import { test } from "node:test";
import { ControllerServiceCapability_RPC_Type as Rpc } from "@tripod/api/csi";
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeClaimSpec,
  Stored,
  VolumeSnapshot,
  VolumeSnapshotContent,
} from "@tripod/api/kubernetes";
import { isKnownSource } from "./data-source-validator.ts";
import { decideSource, type SourceFacts } from "./decide-source.ts";

const stored = (name: string, extra: object = {}) => ({
  name,
  namespace: "n",
  uid: `uid-${name}`,
  resourceVersion: "1",
  creationTimestamp: "2024-01-02T00:00:00Z",
  ...extra,
});
const claim = (spec: Partial<PersistentVolumeClaimSpec>, extra: object = {}): Stored<PersistentVolumeClaim> => ({
  metadata: stored("new", extra),
  spec: { resources: { requests: { storage: "2Gi" } }, ...spec },
});
const snapshot = (status: VolumeSnapshot["status"], extra: object = {}): Stored<VolumeSnapshot> => ({
  metadata: stored("s", extra),
  spec: { source: { persistentVolumeClaimName: "data" } },
  status: { boundVolumeSnapshotContentName: "c", restoreSize: "1Gi", ...status },
});
const content = (
  spec: Partial<VolumeSnapshotContent["spec"]> = {},
  extra: object = {},
): Stored<VolumeSnapshotContent> => ({
  metadata: stored("c", extra),
  spec: {
    driver: "d",
    deletionPolicy: "Delete",
    source: { volumeHandle: "v" },
    volumeSnapshotRef: { namespace: "n", name: "s", uid: "uid-s" },
    ...spec,
  },
  status: { snapshotHandle: "h" },
});
const source = (
  parts: Partial<Pick<PersistentVolumeClaim, "status">> = {},
  extra: object = {},
): Stored<PersistentVolumeClaim> => ({
  metadata: stored("data", extra),
  spec: { resources: { requests: { storage: "1Gi" } }, volumeName: "pv" },
  status: { phase: "Bound" },
  ...parts,
});
const volume = (spec: Partial<PersistentVolume["spec"]> = {}): Stored<PersistentVolume> => ({
  metadata: stored("pv"),
  spec: {
    csi: { driver: "d", volumeHandle: "vh" },
    claimRef: { namespace: "n", name: "data", uid: "uid-data" },
    ...spec,
  },
  status: { phase: "Bound" },
});

interface World {
  readonly snapshot?: Stored<VolumeSnapshot> | undefined;
  readonly content?: Stored<VolumeSnapshotContent>;
  readonly source?: Stored<PersistentVolumeClaim> | undefined;
  readonly volume?: Stored<PersistentVolume>;
  readonly rpcs?: readonly Rpc[];
}
const facts = (world: World): SourceFacts => {
  const all = { snapshot: snapshot({ readyToUse: true }), content: content(), source: source(), volume: volume() };
  const there = { ...all, ...world };
  return {
    class: { metadata: { name: "fast" }, provisioner: "d" },
    rpcs: new Set(world.rpcs ?? [Rpc.CREATE_DELETE_SNAPSHOT, Rpc.CLONE_VOLUME]),
    snapshot: (key) => (key === "n/s" ? there.snapshot : undefined),
    content: (name) => (name === "c" ? there.content : undefined),
    claim: (key) => (key === "n/data" ? there.source : undefined),
    volume: (name) => (name === "pv" ? there.volume : undefined),
  };
};
const ofSnapshot = { dataSource: { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name: "s" } };
const ofClaim = { dataSource: { kind: "PersistentVolumeClaim", name: "data" } };
const block = { volumeMode: "Block" } as const;
const small = { resources: { requests: { storage: "512Mi" } } };
const deleting = { deletionTimestamp: "2024-01-01T00:00:00Z" };

test("a volume begins empty, as a copy that the driver makes, or as somebody else's work", () => {
  assert.deepEqual(decideSource(claim({}), facts({})), { kind: "empty" });
  const restored = decideSource(claim(ofSnapshot), facts({}));
  assert.deepEqual(restored, {
    kind: "copy",
    source: { type: { case: "snapshot", value: { snapshotId: "h" } } },
  });
  assert.deepEqual(decideSource(claim(ofClaim), facts({})), {
    kind: "copy",
    source: { type: { case: "volume", value: { volumeId: "vh" } } },
    claim: source(),
  });
  const other = { dataSource: { apiGroup: "example.com", kind: "VolumeSnapshot", name: "s" } };
  assert.deepEqual(decideSource(claim(other), facts({})), { kind: "populator" });
});

const refused: readonly (readonly [spec: Partial<PersistentVolumeClaimSpec>, world: World, why: RegExp])[] = [
  [ofSnapshot, { rpcs: [] }, /driver d has no snapshots/],
  [ofSnapshot, { snapshot: undefined }, /VolumeSnapshot s is not there/],
  [ofSnapshot, { snapshot: snapshot({ readyToUse: true }, deleting) }, /is being deleted/],
  [ofSnapshot, { snapshot: { ...snapshot({}), status: {} } }, /is not bound to a VolumeSnapshotContent yet/],
  [
    ofSnapshot,
    { content: content({ volumeSnapshotRef: { namespace: "n", name: "s", uid: "x" } }) },
    /is not what VolumeSnapshotContent c was made for/,
  ],
  [ofSnapshot, { content: content({ driver: "e" }) }, /is of driver e, and the class fast of d/],
  [ofSnapshot, { snapshot: snapshot({ readyToUse: false }) }, /is not ready to use yet/],
  [{ ...ofSnapshot, ...small }, {}, /needs 1Gi, and the claim asks for 512Mi/],
  [
    { ...ofSnapshot, ...block },
    { content: content({ sourceVolumeMode: "Filesystem" }) },
    /mode Filesystem, and the claim asks for Block/,
  ],
  [ofClaim, { rpcs: [] }, /driver d does not clone volumes/],
  [ofClaim, { source: undefined }, /PersistentVolumeClaim data is not there/],
  [ofClaim, { source: source({}, deleting) }, /is being deleted/],
  [ofClaim, { source: source({ status: { phase: "Pending" } }) }, /is not bound to a volume yet/],
  [
    ofClaim,
    { volume: volume({ claimRef: { namespace: "n", name: "data", uid: "x" } }) },
    /has no volume that is bound to it/,
  ],
  [ofClaim, { volume: volume({ csi: { driver: "e", volumeHandle: "h" } }) }, /is of driver e/],
  [{ ...ofClaim, ...small }, {}, /needs 1Gi, and the claim asks for 512Mi/],
  [{ ...ofClaim, ...block }, {}, /has mode Filesystem, and the claim Block/],
];
for (const [spec, world, why] of refused)
  test(`a source is waited for: ${why.source}`, () =>
    assert.throws(() => decideSource(claim(spec), facts(world)), { code: "failed-precondition", message: why }));

test("what waited for a source before its deletion still gets it; another mode is allowed by the content alone", () => {
  const early = claim(ofSnapshot, { creationTimestamp: "2023-12-31T00:00:00Z" });
  assert.equal(decideSource(early, facts({ snapshot: snapshot({ readyToUse: true }, deleting) })).kind, "copy");
  const held = { ...deleting, finalizers: ["provisioner.storage.kubernetes.io/cloning-protection"] };
  const copied = claim(ofClaim, { creationTimestamp: "2023-12-31T00:00:00Z" });
  assert.equal(decideSource(copied, facts({ source: source({}, held) })).kind, "copy");
  assert.throws(() => decideSource(copied, facts({ source: source({}, deleting) })), /is being deleted/);
  const annotations = { "snapshot.storage.kubernetes.io/allow-volume-mode-change": "true" };
  const allowing = content({ sourceVolumeMode: "Filesystem" }, { annotations });
  assert.equal(decideSource(claim({ ...ofSnapshot, ...block }), facts({ content: allowing })).kind, "copy");
});

test("drivers know claims and snapshots, populators what they are registered for", () => {
  const ref = (apiGroup: string | undefined, kind: string) =>
    claim({ dataSourceRef: { kind, name: "x", ...(apiGroup === undefined ? {} : { apiGroup }) } });
  const populators = [{ metadata: { name: "p" }, sourceKind: { group: "example.com", kind: "Hello" } }];
  assert.ok(isKnownSource(claim({}), []));
  assert.ok(isKnownSource(ref(undefined, "PersistentVolumeClaim"), []));
  assert.ok(isKnownSource(ref("snapshot.storage.k8s.io", "VolumeSnapshot"), []));
  assert.ok(isKnownSource(ref("example.com", "Hello"), populators));
  assert.ok(!isKnownSource(ref("example.com", "Hello"), []));
  assert.ok(!isKnownSource(ref("example.com", "Other"), populators));
});
