import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { TestServer, testConfigMap, testPod, textOf } from "../testing/test-server.ts";
import { isAllowed } from "./authorize.ts";

let server: TestServer;
before(async () => {
  server = await TestServer.start();
});
after(() => server[Symbol.asyncDispose]());

const pods = "/api/v1/namespaces/default/pods";

test("who shows nothing reads the health paths and the version, and is told so for the rest", async () => {
  for (const path of ["/healthz", "/readyz", "/livez", "/livez/ping", "/version"])
    assert.equal((await server.get(path, { as: "nobody" })).code, 200, path);
  const refused = await server.get(pods, { as: "nobody" });
  assert.equal(refused.code, 403);
  assert.equal(
    refused.body.message,
    'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "default"',
  );
  assert.equal((await server.get("/apis", { as: "nobody" })).code, 403);
});

test("a token that proves nothing is 401", async () => {
  for (const authorization of ["Bearer x", "Bearer a.b.c", "Bearer ", "Basic YTpi", `Bearer ${"x".repeat(15_000)}`]) {
    const refused = await server.get(pods, { as: "nobody", headers: { authorization } });
    assert.equal(refused.code, 401, authorization.slice(0, 40));
    assert.equal(refused.body.reason, "Unauthorized");
  }
});

test("a service account's token names it, for as long as the account and the Pod are there", async () => {
  const accounts = "/api/v1/namespaces/default/serviceaccounts";
  await server.post(accounts, { metadata: { name: "robot" } });
  const made = await server.post(pods, testPod("bearer", { serviceAccountName: "robot" }));
  const boundObjectRef = { kind: "Pod", apiVersion: "v1", name: "bearer", uid: textOf(made.body.metadata?.uid) };
  const request = { spec: { boundObjectRef, expirationSeconds: 600 } };
  const issued = await server.post(`${accounts}/robot/token`, request);
  assert.equal(issued.code, 201);
  const headers = { authorization: `Bearer ${textOf(issued.body.status?.token)}` };
  const who = await server.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, { as: "nobody", headers });
  assert.equal(who.body.status?.userInfo?.username, "system:serviceaccount:default:robot");
  assert.equal((await server.get("/api/v1/namespaces/default/configmaps", { as: "nobody", headers })).code, 200);
  assert.equal((await server.get("/api/v1/namespaces/default/secrets", { as: "nobody", headers })).code, 403);
  assert.equal((await server.get("/api/v1/namespaces/kube-system/configmaps", { as: "nobody", headers })).code, 403);
  await server.delete(`${pods}/bearer`);
  assert.equal((await server.get("/version", { as: "nobody", headers })).code, 401);
  const gone = await server.post(`${accounts}/robot/token`, request);
  assert.equal(gone.code, 404);
  const short = await server.post(`${accounts}/robot/token`, { spec: { expirationSeconds: 5 } });
  assert.equal(short.code, 422);
  assert.match(short.text, /may not specify a duration less than 10 minutes/);
  const foreign = await server.post(`${accounts}/robot/token`, { spec: { audiences: ["vault"] } });
  const other = { authorization: `Bearer ${textOf(foreign.body.status?.token)}` };
  assert.equal((await server.get("/version", { as: "nobody", headers: other })).code, 401);
});

test("a kubelet writes its own Node and its own Pods alone", async () => {
  const node = (name: string): object => ({ kind: "Node", apiVersion: "v1", metadata: { name } });
  const as = "kubelet";
  assert.equal((await server.post("/api/v1/nodes", node("node-a"), { as })).code, 201);
  await server.post("/api/v1/nodes", node("node-b"));
  const labels = { metadata: { labels: { x: "1" } } };
  assert.equal((await server.patch("/api/v1/nodes/node-a", "merge", labels, { as })).code, 200);
  assert.equal((await server.patch("/api/v1/nodes/node-b", "merge", labels, { as })).code, 403);
  await server.post(pods, testPod("mine", { nodeName: "node-a" }));
  await server.post(pods, testPod("other", { nodeName: "node-b" }));
  const status = { status: { phase: "Running" } };
  assert.equal((await server.patch(`${pods}/mine/status`, "merge", status, { as })).code, 200);
  const refused = await server.patch(`${pods}/other/status`, "merge", status, { as });
  assert.equal(refused.code, 403);
  assert.match(refused.text, /can only update the status of pods with spec\.nodeName set to itself/);
  assert.equal((await server.delete(`${pods}/other`, { gracePeriodSeconds: 0 }, { as })).code, 403);
  assert.equal((await server.delete(`${pods}/mine`, { gracePeriodSeconds: 0 }, { as })).code, 200);
  assert.equal((await server.post("/api/v1/namespaces/default/configmaps", testConfigMap("x"), { as })).code, 403);
  assert.equal(
    (await server.post("/api/v1/namespaces/default/configmaps", testConfigMap("x"), { as: "controllers" })).code,
    201,
  );
});

test("a kubelet gets tokens for the accounts of its own Pods alone", async () => {
  const accounts = "/api/v1/namespaces/default/serviceaccounts";
  const as = "kubelet";
  for (const name of ["near", "far"]) {
    await server.post(accounts, { metadata: { name } });
    const nodeName = name === "near" ? "node-a" : "node-b";
    await server.post(pods, testPod(name, { nodeName, serviceAccountName: name }));
  }
  const boundTo = (name: string): object => ({ spec: { boundObjectRef: { kind: "Pod", apiVersion: "v1", name } } });
  assert.equal((await server.post(`${accounts}/near/token`, boundTo("near"), { as })).code, 201);
  for (const [account, request] of [
    ["far", boundTo("far")],
    ["far", boundTo("near")],
    ["near", { spec: {} }],
  ] as const)
    assert.equal((await server.post(`${accounts}/${account}/token`, request, { as })).code, 403);
});

const authenticated = "system:authenticated";
const admin = { name: "a", groups: ["system:masters", authenticated] };
const kubelet = { name: "system:node:n", groups: ["system:nodes", authenticated] };
const account = {
  name: "system:serviceaccount:ns:x",
  groups: ["system:serviceaccounts", "system:serviceaccounts:ns", authenticated],
};
const anonymous = { name: "system:anonymous", groups: ["system:unauthenticated"] };
const on = (plural: string, more: object = {}) => ({ resource: { group: "", plural, ...more } });

for (const [why, user, action, allowed] of [
  ["an administrator may all", admin, { verb: "delete", ...on("nodes") }, true],
  ["a kubelet reads Secrets", kubelet, { verb: "get", ...on("secrets") }, true],
  ["a kubelet makes no Secrets", kubelet, { verb: "create", ...on("secrets") }, false],
  ["a kubelet renews Leases", kubelet, { verb: "update", ...on("leases") }, true],
  ["a kubelet deletes no other Node", kubelet, { verb: "delete", ...on("nodes", { name: "m" }) }, false],
  ["a kubelet opens no shell", kubelet, { verb: "create", ...on("pods", { subresource: "exec" }) }, false],
  ["a kubelet binds no Pod", kubelet, { verb: "create", ...on("pods", { subresource: "binding" }) }, false],
  ["a kubelet makes no accounts", kubelet, { verb: "create", ...on("serviceaccounts") }, false],
  ["a kubelet asks for tokens", kubelet, { verb: "create", ...on("serviceaccounts", { subresource: "token" }) }, true],
  ["an account reads its own namespace", account, { verb: "list", ...on("pods", { namespace: "ns" }) }, true],
  ["an account reads no other", account, { verb: "list", ...on("pods", { namespace: "other" }) }, false],
  ["an account reads not everything", account, { verb: "list", ...on("pods") }, false],
  ["an account writes nothing", account, { verb: "create", ...on("pods", { namespace: "ns" }) }, false],
  [
    "an account opens no shell",
    account,
    { verb: "get", ...on("pods", { namespace: "ns", subresource: "exec" }) },
    false,
  ],
  ["everybody known may discover", account, { verb: "get", path: "/apis" }, true],
  ["nobody unknown may", anonymous, { verb: "get", path: "/openapi/v3" }, false],
  ["everybody asks for health", anonymous, { verb: "get", path: "/readyz" }, true],
  ["a path that only begins like one", anonymous, { verb: "get", path: "/readyzz" }, false],
] as const)
  test(`authorization: ${why}`, () => assert.equal(isAllowed(user, action), allowed));
