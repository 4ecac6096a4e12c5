import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { listOf, TestServer, testConfigMap, type Reply, testPod } from "../testing/test-server.ts";

let server: TestServer;
before(async () => {
  server = await TestServer.start();
});
after(() => server[Symbol.asyncDispose]());

const maps = "/api/v1/namespaces/default/configmaps";
const apply = (path: string, config: object | string, query: string): Promise<Reply> =>
  server.call("PATCH", `${path}?${query}`, {
    body: typeof config === "string" ? config : JSON.stringify(config),
    headers: { "content-type": "application/apply-patch+yaml" },
  });

test("an applied configuration makes the object, and takes back what it no longer says", async () => {
  const made = await apply(
    `${maps}/a`,
    "apiVersion: v1\nkind: ConfigMap\ndata:\n  x: '1'\n  y: '2'\n",
    "fieldManager=me",
  );
  assert.equal(made.code, 201);
  const again = await apply(`${maps}/a`, testConfigMap("a", { x: "1", z: "3" }), "fieldManager=me");
  assert.equal(again.code, 200);
  assert.deepEqual(again.body.data, { x: "1", z: "3" });
  const same = await apply(`${maps}/a`, testConfigMap("a", { x: "1", z: "3" }), "fieldManager=me");
  assert.equal(same.body.metadata?.resourceVersion, again.body.metadata?.resourceVersion);
});

test("what another manager set is a conflict that names the field, unless forced", async () => {
  await server.post(`${maps}?fieldManager=author`, testConfigMap("b", { x: "1" }));
  const refused = await apply(`${maps}/b`, testConfigMap("b", { x: "2" }), "fieldManager=me");
  assert.equal(refused.code, 409);
  assert.equal(refused.body.message, 'Apply failed with 1 conflict: conflict with "author" using v1: .data.x');
  assert.deepEqual(refused.body.details?.causes, [
    { reason: "FieldManagerConflict", message: 'conflict with "author" using v1', field: ".data.x" },
  ]);
  const forced = await apply(`${maps}/b`, testConfigMap("b", { x: "2" }), "fieldManager=me&force=true");
  assert.deepEqual(forced.body.data, { x: "2" });
  await server.patch(`${maps}/b?fieldManager=editor`, "merge", { data: { x: "3" } });
  assert.match(
    (await apply(`${maps}/b`, testConfigMap("b", { x: "2" }), "fieldManager=me")).text,
    /conflict with \\"editor\\" using v1: \.data\.x/,
  );
});

test("a configuration is checked like any object", async () => {
  assert.equal((await apply(`${maps}/c`, testConfigMap("c"), "")).code, 422);
  assert.equal((await apply(`${maps}/c`, testConfigMap("d"), "fieldManager=me")).code, 400);
  assert.equal((await apply(`${maps}/c`, "a: [", "fieldManager=me")).code, 400);
  assert.equal(
    (await apply(`${maps}/c`, { ...testConfigMap("c"), x: 1 }, "fieldManager=me&fieldValidation=Strict")).code,
    400,
  );
  const pod = await apply(
    "/api/v1/namespaces/default/pods/p",
    testPod("p", { containers: [{ name: "c" }] }),
    "fieldManager=me",
  );
  assert.equal(pod.code, 422);
  assert.match(pod.text, /spec\.containers\[0\]\.image: Required value/);
});

test("the status has managers of its own", async () => {
  const pods = "/api/v1/namespaces/default/pods";
  await apply(`${pods}/s`, testPod("s"), "fieldManager=me");
  const status = await apply(
    `${pods}/s/status`,
    { apiVersion: "v1", kind: "Pod", status: { phase: "Running" } },
    "fieldManager=node",
  );
  assert.equal(status.body.status?.phase, "Running");
  const entries = listOf<{ manager: string; subresource?: string }>(status.body.metadata?.managedFields).map(
    ({ manager, subresource }) => [manager, subresource],
  ); // ManagedFieldsEntry
  assert.deepEqual(entries, [
    ["node", "status"],
    ["me", undefined],
  ]);
  assert.equal((await apply(`${pods}/none/status`, { apiVersion: "v1", kind: "Pod" }, "fieldManager=node")).code, 404);
});
