import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { TestServer } from "../../testing/test-server.ts";

let server: TestServer;
before(async () => {
  server = await TestServer.start();
});
after(() => server[Symbol.asyncDispose]());

const at = (version: string, rest: string): string => `/apis/groupsnapshot.storage.k8s.io/${version}/${rest}`;
const mergePatch = { "content-type": "application/merge-patch+json" };
const patch = (path: string, body: object) => server.call("PATCH", path, { body, headers: mergePatch });
const infoAnnotation = "groupsnapshot.storage.kubernetes.io/volume-snapshot-info-list";
const info = { volumeHandle: "v", snapshotHandle: "s", creationTime: 23, readyToUse: true, restoreSize: 12 };
const content = (name: string) => ({
  metadata: { name },
  spec: {
    driver: "d",
    deletionPolicy: "Delete",
    source: { groupSnapshotHandles: { volumeGroupSnapshotHandle: "g", volumeSnapshotHandles: ["s"] } },
    volumeGroupSnapshotRef: { name: "g", namespace: "default" },
  },
});

test("clients are told of v1, v1beta2 and v1beta1, and to take v1", async () => {
  const { body } = await server.get("/apis/groupsnapshot.storage.k8s.io");
  const entry = (version: string) => ({ groupVersion: `groupsnapshot.storage.k8s.io/${version}`, version });
  assert.deepEqual(body["versions"], ["v1", "v1beta2", "v1beta1"].map(entry));
  assert.deepEqual(body["preferredVersion"], entry("v1"));
  const all = JSON.stringify((await server.get("/apis")).body);
  assert.equal(all.split('"name":"groupsnapshot.storage.k8s.io"').length, 2);
});

for (const version of ["v1beta2", "v1beta1"])
  test(`what is made in ${version} is there in every version, each with its own apiVersion`, async () => {
    const name = `of-${version}`;
    const spec = { source: { selector: { matchLabels: { app: "db" } } } };
    const groups = "namespaces/default/volumegroupsnapshots";
    const body = { apiVersion: `groupsnapshot.storage.k8s.io/${version}`, kind: "VolumeGroupSnapshot" };
    assert.equal((await server.post(at(version, groups), { ...body, metadata: { name }, spec })).code, 201);
    for (const each of ["v1", "v1beta2", "v1beta1", "v1"]) {
      const found = await server.get(at(each, `${groups}/${name}`));
      assert.equal(found.body["apiVersion"], `groupsnapshot.storage.k8s.io/${each}`);
      assert.deepEqual(found.body.spec, spec);
    }
  });

test("v1beta1 shows handles alone, and keeps what it has no fields for when it is written", async () => {
  const contents = "volumegroupsnapshotcontents";
  assert.equal((await server.post(at("v1beta1", contents), content("c"))).code, 201);
  await patch(at("v1", `${contents}/c/status`), { status: { readyToUse: true, volumeSnapshotInfoList: [info] } });
  const status = { readyToUse: true, volumeSnapshotInfoList: [info] };
  const earlier = await server.get(at("v1beta1", `${contents}/c`));
  assert.deepEqual(earlier.body.status, {
    readyToUse: true,
    volumeSnapshotHandlePairList: [{ volumeHandle: "v", snapshotHandle: "s" }],
  });
  assert.equal(earlier.body.metadata?.annotations?.[infoAnnotation], JSON.stringify([info]));
  await patch(at("v1beta1", `${contents}/c`), { metadata: { labels: { a: "b" } } });
  for (const version of ["v1beta2", "v1"]) {
    const { body } = await server.get(at(version, `${contents}/c`));
    assert.deepEqual(body.status, status);
    assert.deepEqual([body.metadata?.labels, body.metadata?.annotations?.[infoAnnotation]], [{ a: "b" }, undefined]);
  }
});

for (const [why, text] of [
  ["no JSON", "["],
  ["no list", "{}"],
  ["nothing of a snapshot", '[null, 1, {"snapshotHandle":"s"}]'],
  ["a time that is none", '[{"volumeHandle":"v","snapshotHandle":"s","creationTime":"x"}]'],
] as const)
  test(`an annotation of v1beta1 that is ${why} tells nothing beyond the handles`, async () => {
    const name = `bad-${why.replaceAll(" ", "-")}`.toLowerCase();
    const path = "volumegroupsnapshotcontents";
    await server.post(at("v1beta1", path), content(name));
    const pair = { volumeHandle: "v", snapshotHandle: "s" };
    await patch(at("v1", `${path}/${name}/status`), { status: { volumeSnapshotInfoList: [info] } });
    await patch(at("v1beta1", `${path}/${name}`), { metadata: { annotations: { [infoAnnotation]: text } } });
    const { body } = await server.get(at("v1", `${path}/${name}`));
    assert.deepEqual(body.status, { volumeSnapshotInfoList: [pair] });
  });
