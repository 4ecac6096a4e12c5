import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { KubernetesObject, PersistentVolumeClaim, Secret } from "@tripod/api/kubernetes";
import { ObjectStore } from "../registry/object-store.ts";
import { SqliteStorage } from "../storage/sqlite-storage.ts";
import { TestServer, testConfigMap, textOf } from "../testing/test-server.ts";
import { mkdtempSync, rmSync } from "node:fs";
import { events } from "./event.ts";
import { expireEvents } from "./expire-events.ts";

let server: TestServer;
before(async () => {
  server = await TestServer.start();
});
after(() => server[Symbol.asyncDispose]());

const core = "/api/v1/namespaces/default";
const storage = "/apis/storage.k8s.io/v1";
const claim = (name: string, spec: object = {}) => ({
  metadata: { name },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Mi" } }, ...spec },
});
const volume = (name: string, spec: object = {}) => ({
  metadata: { name },
  spec: {
    accessModes: ["ReadWriteOnce"],
    capacity: { storage: "1Mi" },
    csi: { driver: "d", volumeHandle: "h" },
    ...spec,
  },
});

for (const [why, path, object, message] of [
  [
    "a ConfigMap's key",
    `${core}/configmaps`,
    testConfigMap("x", { "a b": "" }),
    /data\[a b\]: Invalid value: "a b": a valid config key must consist of/,
  ],
  [
    "a label",
    `${core}/configmaps`,
    testConfigMap("x", {}, { labels: { "a b": "c" } }),
    /metadata\.labels: Invalid value: "a b": name part must consist of/,
  ],
  [
    "a name",
    `${core}/configmaps`,
    testConfigMap("Not_A_Name"),
    /metadata\.name: Invalid value: "Not_A_Name": a lowercase RFC 1123 subdomain must consist of/,
  ],
  [
    "no name",
    `${core}/configmaps`,
    testConfigMap(""),
    /metadata\.name: Required value: name or generateName is required/,
  ],
  [
    "a TLS Secret without a key",
    `${core}/secrets`,
    { metadata: { name: "x" }, type: "kubernetes.io/tls", data: { "tls.crt": "" } },
    /data\[tls\.key\]: Required value/,
  ],
  [
    "a claim without a size",
    `${core}/persistentvolumeclaims`,
    claim("x", { resources: {} }),
    /spec\.resources\[storage\]: Required value/,
  ],
  [
    "a claim without a mode",
    `${core}/persistentvolumeclaims`,
    claim("x", { accessModes: [] }),
    /spec\.accessModes: Required value: at least 1 access mode is required/,
  ],
  [
    "a claim of an unknown mode",
    `${core}/persistentvolumeclaims`,
    claim("x", { accessModes: ["RWO"] }),
    /spec\.accessModes: Unsupported value: "RWO": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"/,
  ],
  [
    "a claim with a selector that is none",
    `${core}/persistentvolumeclaims`,
    claim("x", { selector: { matchExpressions: [{ key: "a", operator: "Is" }] } }),
    /spec\.selector\.matchExpressions\[0\]\.operator: Invalid value: "Is": not a valid selector operator/,
  ],
  [
    "a claim with a selector that lacks values",
    `${core}/persistentvolumeclaims`,
    claim("x", { selector: { matchExpressions: [{ key: "a", operator: "In" }] } }),
    /spec\.selector\.matchExpressions\[0\]\.values: Required value: must be specified when `operator` is 'In' or 'NotIn'/,
  ],
  [
    "a volume without a source",
    "/api/v1/persistentvolumes",
    volume("x", { csi: null }),
    /spec: Required value: must specify a volume type/,
  ],
  [
    "a volume of two sources",
    "/api/v1/persistentvolumes",
    volume("x", { hostPath: { path: "/x" } }),
    /may not specify more than 1 volume type/,
  ],
  [
    "a volume without a size",
    "/api/v1/persistentvolumes",
    volume("x", { capacity: null }),
    /spec\.capacity: Required value/,
  ],
  [
    "a class without a provisioner",
    `${storage}/storageclasses`,
    { metadata: { name: "x" } },
    /provisioner: Required value/,
  ],
  [
    "a class of an unknown mode",
    `${storage}/storageclasses`,
    { metadata: { name: "x" }, provisioner: "p", volumeBindingMode: "Later" },
    /volumeBindingMode: Unsupported value: "Later": supported values: "Immediate", "WaitForFirstConsumer"/,
  ],
  [
    "an attachment of nothing",
    `${storage}/volumeattachments`,
    { metadata: { name: "x" }, spec: { attacher: "a", nodeName: "n", source: {} } },
    /spec\.source: Required value/,
  ],
] as const)
  test(`${why} that is wrong is refused with its field`, async () => {
    const reply = await server.post(path, object);
    assert.equal(reply.code, 422, reply.text);
    assert.match(textOf(reply.body.message), message);
  });

test("a quantity that is none is refused with its path", async () => {
  const reply = await server.post(
    `${core}/persistentvolumeclaims`,
    claim("x", { resources: { requests: { storage: "lots" } } }),
  );
  assert.equal(reply.code, 400);
  assert.match(
    textOf(reply.body.message),
    /PersistentVolumeClaim in version "v1" cannot be handled as a PersistentVolumeClaim: .*spec\.resources\.requests\.storage.*"lots" is not a quantity/,
  );
});

test("a claim gets the default class, protection and a phase, and keeps what it asked for", async () => {
  const annotations = { "storageclass.kubernetes.io/is-default-class": "true" };
  await server.post(`${storage}/storageclasses`, { metadata: { name: "standard", annotations }, provisioner: "p" });
  const made = (await server.post(`${core}/persistentvolumeclaims`, claim("c")))
    .body as unknown as PersistentVolumeClaim;
  assert.equal(made.spec.storageClassName, "standard");
  assert.equal(made.status?.phase, "Pending");
  assert.deepEqual(made.metadata.finalizers, ["kubernetes.io/pvc-protection"]);
  const none = (await server.post(`${core}/persistentvolumeclaims`, claim("none", { storageClassName: "" })))
    .body as unknown as PersistentVolumeClaim;
  assert.ok(!none.spec.storageClassName);
  const path = `${core}/persistentvolumeclaims/c`;
  const refused = await server.patch(path, "merge", { spec: { accessModes: ["ReadWriteMany"] } });
  assert.match(refused.text, /spec: Forbidden: spec is immutable after creation except resources\.requests/);
  assert.equal(
    (await server.patch(path, "merge", { spec: { resources: { requests: { storage: "2Mi" } } } })).code,
    422,
  );
  assert.equal((await server.patch(path, "merge", { spec: { volumeName: "pv" } })).code, 200);
  await server.patch(`${path}/status`, "merge", { status: { phase: "Bound", capacity: { storage: "1Mi" } } });
  const resize = (storage: string) => server.patch(path, "merge", { spec: { resources: { requests: { storage } } } });
  assert.match((await resize("3Mi")).text, /"c\\" is forbidden: only dynamically provisioned pvc can be resized/);
  const allow = { allowVolumeExpansion: true };
  assert.equal((await server.patch(`${storage}/storageclasses/standard`, "merge", allow)).code, 200);
  assert.equal((await resize("3Mi")).code, 200);
  assert.equal((await resize("2Mi")).code, 200);
  assert.match((await resize("1Mi")).text, /storage: Forbidden: field can not be less than status\.capacity/);
  const strange = await server.patch(`${path}/status`, "merge", {
    status: { allocatedResourceStatuses: { storage: "Soon" } },
  });
  assert.match(strange.text, /status\.allocatedResourceStatuses\[storage\]: Unsupported value: .*Soon/);
  assert.match((await server.delete(path)).text, /deletionTimestamp/);
});

test("stringData becomes data, and what is immutable stays", async () => {
  const path = `${core}/secrets`;
  const made = (await server.post(path, { metadata: { name: "s" }, stringData: { a: "b" }, immutable: true }))
    .body as unknown as Secret;
  assert.deepEqual([made.type, made.data, made.stringData], ["Opaque", { a: "Yg==" }, undefined]);
  const refused = await server.patch(`${path}/s`, "merge", { stringData: { a: "c" } });
  assert.match(refused.text, /data: Forbidden: field is immutable when `immutable` is set/);
  assert.equal((await server.post(path, { metadata: { name: "bad" }, data: { a: "%" } })).code, 400);
});

test("a volume says since when it has been in its phase", async () => {
  const path = "/api/v1/persistentvolumes/since";
  const status = (fields: object) => server.patch(`${path}/status`, "merge", { status: fields });
  assert.match((await server.post("/api/v1/persistentvolumes", volume("since"))).text, /"lastPhaseTransitionTime":"20/);
  const lastPhaseTransitionTime = "2020-01-01T00:00:00Z";
  assert.match((await status({ phase: "Available", lastPhaseTransitionTime })).text, /"2020-01-01T00:00:00Z"/);
  assert.match((await status({ message: "x" })).text, /"2020-01-01T00:00:00Z"/);
  assert.doesNotMatch((await status({ phase: "Bound" })).text, /"2020-01-01T00:00:00Z"/);
});

test("a claim's attributes class may change once it is bound, and is not taken back once it holds", async () => {
  const path = `${core}/persistentvolumeclaims/fast`;
  const change = (name: string | null) => server.patch(path, "merge", { spec: { volumeAttributesClassName: name } });
  await server.post(`${core}/persistentvolumeclaims`, claim("fast", { storageClassName: "" }));
  assert.match((await change("gold")).text, /spec is immutable/);
  await server.patch(`${path}/status`, "merge", { status: { phase: "Bound", capacity: { storage: "1Mi" } } });
  assert.equal((await change("gold")).code, 200);
  assert.equal((await change(null)).code, 200);
  assert.equal((await change("gold")).code, 200);
  await server.patch(`${path}/status`, "merge", { status: { currentVolumeAttributesClassName: "gold" } });
  assert.match((await change(null)).text, /update to nil is forbidden when status\.currentVolumeAttributesClassName/);
  assert.equal((await change("silver")).code, 200);
});

test("an attributes class names a driver and parameters, for good", async () => {
  const path = `${storage}/volumeattributesclasses`;
  const gold = { metadata: { name: "gold" }, driverName: "d", parameters: { iops: "9" } };
  assert.match((await server.post(path, { ...gold, parameters: {} })).text, /parameters: Required value/);
  assert.match((await server.post(path, { ...gold, driverName: "" })).text, /driverName: Required value/);
  assert.equal((await server.post(path, gold)).code, 201);
  const refused = await server.patch(`${path}/gold`, "merge", { parameters: { iops: "10" } });
  assert.match(refused.text, /parameters: Forbidden: updates to parameters are forbidden\./);
});

test("a class says what it does, and does not change its mind", async () => {
  await server.post(`${storage}/storageclasses`, { metadata: { name: "slow" }, provisioner: "p" });
  const refused = await server.patch(`${storage}/storageclasses/slow`, "merge", { provisioner: "q" });
  assert.match(refused.text, /provisioner: Forbidden: updates to provisioner are forbidden\./);
});

test("a CSINode without drivers has an empty list of them", async () => {
  for (const [name, spec] of Object.entries({ none: {}, null: { drivers: null }, empty: { drivers: [] } })) {
    const reply = await server.post(`${storage}/csinodes`, { metadata: { name }, spec });
    assert.deepEqual(reply.body.spec, { drivers: [] }, name);
  }
});

test("Events that nobody has seen happen for an hour are removed, others stay", async () => {
  const dir = mkdtempSync("/tmp/tripod-api-events-");
  try {
    await using database = SqliteStorage.open(`${dir}/state.db`);
    const store = new ObjectStore(database);
    const make = (name: string, at: string, lastTimestamp?: string) =>
      store.create(events, {
        metadata: { name, namespace: "default", uid: name, creationTimestamp: at },
        involvedObject: {},
        ...(lastTimestamp === undefined ? {} : { lastTimestamp }),
      });
    const [then, now] = ["2024-01-01T00:00:00Z", "2024-01-01T03:00:00Z"];
    await make("old", then);
    await make("again", then, now);
    await make("new", now);
    await expireEvents(store, Date.parse("2024-01-01T03:30:00Z"));
    const left = (await store.list<KubernetesObject>(events, undefined)).items.map((each) => each.object.metadata.name);
    assert.deepEqual(left, ["again", "new"]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
