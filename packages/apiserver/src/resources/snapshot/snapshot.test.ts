import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Reply, TestServer, textOf } from "../../testing/test-server.ts";

let server: TestServer;
before(async () => {
  server = await TestServer.start();
});
after(() => server[Symbol.asyncDispose]());

const group = "/apis/snapshot.storage.k8s.io/v1";
const groups = "/apis/groupsnapshot.storage.k8s.io/v1";
const claims = "/api/v1/namespaces/default/persistentvolumeclaims";
const snapshots = `${group}/namespaces/default/volumesnapshots`;
const groupSnapshots = `${groups}/namespaces/default/volumegroupsnapshots`;
const contents = `${group}/volumesnapshotcontents`;
const groupContents = `${groups}/volumegroupsnapshotcontents`;
const snapshot = (source: object, spec: object = {}) => ({ metadata: { name: "x" }, spec: { source, ...spec } });
const content = (spec: object = {}) => ({
  metadata: { name: "x" },
  spec: {
    driver: "d",
    deletionPolicy: "Delete",
    source: { snapshotHandle: "h" },
    volumeSnapshotRef: { name: "s", namespace: "default" },
    ...spec,
  },
});
const groupContent = (spec: object = {}) => ({
  metadata: { name: "x" },
  spec: {
    driver: "d",
    deletionPolicy: "Delete",
    source: { volumeHandles: ["a"] },
    volumeGroupSnapshotRef: { name: "s", namespace: "default" },
    ...spec,
  },
});
const mergePatch = { "content-type": "application/merge-patch+json" };

const refused: readonly (readonly [why: string, path: string, object: object, message: RegExp])[] = [
  ["no spec", snapshots, { metadata: { name: "x" } }, /spec\.source: Required value/],
  ["no source", snapshots, snapshot({}), /spec\.source: Invalid value: .* exactly one of/],
  [
    "two sources",
    snapshots,
    snapshot({ persistentVolumeClaimName: "a", volumeSnapshotContentName: "b" }),
    /exactly one of volumeSnapshotContentName and persistentVolumeClaimName must be set/,
  ],
  [
    "an empty class",
    snapshots,
    snapshot({ persistentVolumeClaimName: "a" }, { volumeSnapshotClassName: "" }),
    /must not be the empty string/,
  ],
  ["half a reference", contents, content({ volumeSnapshotRef: { name: "s" } }), /namespace must be set/],
  ["no driver", contents, content({ driver: undefined }), /spec\.driver: Required value/],
  [
    "an unknown policy",
    contents,
    content({ deletionPolicy: "Keep" }),
    /spec\.deletionPolicy: Unsupported value: "Keep": supported values: "Delete", "Retain"/,
  ],
  [
    "a class without a policy",
    `${group}/volumesnapshotclasses`,
    { metadata: { name: "x" }, driver: "d" },
    /deletionPolicy: Required value/,
  ],
  ["no group source", groupSnapshots, snapshot({}), /exactly one of selector and volumeGroupSnapshotContentName/],
  [
    "half of a group's handles",
    groupContents,
    groupContent({ source: { groupSnapshotHandles: { volumeGroupSnapshotHandle: "g" } } }),
    /spec\.source\.groupSnapshotHandles\.volumeSnapshotHandles: Required value/,
  ],
  [
    "a populator for nothing",
    "/apis/populator.storage.k8s.io/v1beta1/volumepopulators",
    { metadata: { name: "x" }, sourceKind: { kind: "Hello" } },
    /sourceKind\.group: Required value/,
  ],
];
for (const [why, path, object, message] of refused)
  test(`${why} is refused`, async () => {
    const { code, body } = await server.post(path, object);
    assert.equal(code, 422, JSON.stringify(body));
    assert.match(textOf(body.message), message);
  });

test("what a snapshot, a content and a group's class are of never changes; the rest may", async () => {
  const patch = (path: string, body: object): Promise<Reply> =>
    server.call("PATCH", path, { body, headers: mergePatch });
  assert.equal((await server.post(snapshots, snapshot({ persistentVolumeClaimName: "a" }))).code, 201);
  const other = await patch(`${snapshots}/x`, { spec: { source: { persistentVolumeClaimName: "b" } } });
  assert.match(textOf(other.body.message), /persistentVolumeClaimName is immutable/);
  const swapped = { persistentVolumeClaimName: null, volumeSnapshotContentName: "b" };
  const without = await patch(`${snapshots}/x`, { spec: { source: swapped } });
  assert.match(textOf(without.body.message), /persistentVolumeClaimName is required once set/);
  const classed = await patch(`${snapshots}/x`, { spec: { volumeSnapshotClassName: "fast" } });
  assert.equal(classed.body.metadata?.generation, 2);

  assert.equal((await server.post(contents, content({ sourceVolumeMode: "Block" }))).code, 201);
  const mode = await patch(`${contents}/x`, { spec: { sourceVolumeMode: "Filesystem" } });
  assert.match(textOf(mode.body.message), /sourceVolumeMode is immutable/);
  const kept = await patch(`${contents}/x`, { spec: { deletionPolicy: "Retain" } });
  assert.equal(kept.code, 200);

  assert.equal((await server.post(groupContents, groupContent())).code, 201);
  const bound = await patch(`${groupContents}/x`, { spec: { volumeGroupSnapshotRef: { uid: "u" } } });
  assert.equal(bound.code, 200);
  const rebound = await patch(`${groupContents}/x`, { spec: { volumeGroupSnapshotRef: { uid: "v" } } });
  assert.match(textOf(rebound.body.message), /uid is immutable/);

  const groupClass = { metadata: { name: "g" }, driver: "d", deletionPolicy: "Delete" };
  assert.equal((await server.post(`${groups}/volumegroupsnapshotclasses`, groupClass)).code, 201);
  const policy = await patch(`${groups}/volumegroupsnapshotclasses/g`, { deletionPolicy: "Retain" });
  assert.match(textOf(policy.body.message), /deletionPolicy is immutable/);
});

test("a status is written through its subresource alone", async () => {
  const made = await server.post(snapshots, {
    ...snapshot({ persistentVolumeClaimName: "a" }),
    metadata: { name: "status" },
    status: { readyToUse: true },
  });
  assert.equal(made.body.status, undefined);
  const status = { readyToUse: true, restoreSize: "1024Mi", boundVolumeSnapshotContentName: "c" };
  const written = await server.call("PATCH", `${snapshots}/status/status`, { body: { status }, headers: mergePatch });
  assert.deepEqual(written.body.status, { ...status, restoreSize: "1Gi" });
  assert.equal(written.body.metadata?.generation, 1);
});

test("neither protobuf nor a strategic merge patch is taken, as of a custom resource", async () => {
  const path = `${group}/volumesnapshotclasses`;
  const strategic = { "content-type": "application/strategic-merge-patch+json" };
  await server.post(path, { metadata: { name: "p" }, driver: "d", deletionPolicy: "Delete" });
  const patched = await server.call("PATCH", `${path}/p`, { body: {}, headers: strategic });
  assert.equal(patched.code, 415);
  assert.doesNotMatch(textOf(patched.body.message), /strategic/);
  const protobuf = "application/vnd.kubernetes.protobuf";
  assert.equal((await server.post(path, Buffer.from("k8s\0"), { headers: { "content-type": protobuf } })).code, 415);
  assert.equal((await server.get(path, { headers: { accept: protobuf } })).code, 406);
  assert.equal((await server.get(path, { headers: { accept: `${protobuf},application/json` } })).code, 200);
});

const claim = (name: string, spec: object) => ({
  metadata: { name },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Mi" } }, ...spec },
});
const fromSnapshot = { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name: "s" };
const fromOther = { apiGroup: "example.com", kind: "Hello", name: "h" };
for (const [why, given, kept] of [
  ["dataSource fills dataSourceRef", { dataSource: fromSnapshot }, fromSnapshot],
  ["dataSourceRef fills dataSource", { dataSourceRef: fromOther }, fromOther],
  ["an unknown kind in dataSource alone is ignored", { dataSource: fromOther }, undefined],
  ["a source in another namespace is ignored", { dataSourceRef: { ...fromSnapshot, namespace: "n" } }, undefined],
] as const)
  test(`claims: ${why}`, async () => {
    const { body, code } = await server.post(claims, claim(why.toLowerCase().replaceAll(/[^a-z]+/g, "-"), given));
    assert.equal(code, 201, JSON.stringify(body));
    assert.deepEqual([body.spec?.dataSource, body.spec?.dataSourceRef], [kept, kept]);
  });

test("claims: the source is checked, and stays", async () => {
  const nameless = await server.post(claims, claim("n", { dataSourceRef: { kind: "Pod", name: "" } }));
  assert.match(textOf(nameless.body.message), /spec\.dataSourceRef\.name: Required value/);
  assert.match(textOf(nameless.body.message), /must be 'PersistentVolumeClaim' when referencing the default apiGroup/);
  const two = await server.post(claims, claim("m", { dataSource: fromSnapshot, dataSourceRef: fromOther }));
  assert.match(textOf(two.body.message), /must match dataSourceRef/);
  const made = await server.post(claims, claim("kept", { dataSource: fromSnapshot }));
  // Clients that know dataSource alone send the object back without the other.
  const again = { ...made.body, spec: { ...made.body.spec, dataSourceRef: undefined } };
  const replaced = await server.put(`${claims}/kept`, again);
  assert.deepEqual(replaced.body.spec?.dataSourceRef, fromSnapshot);
});
