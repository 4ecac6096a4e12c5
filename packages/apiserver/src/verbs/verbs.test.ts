import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { listOf, TestServer, testConfigMap, testPod, textOf } from "../testing/test-server.ts";

let server: TestServer;
before(async () => {
  server = await TestServer.start();
});
after(() => server[Symbol.asyncDispose]());

const maps = "/api/v1/namespaces/default/configmaps";
const pods = "/api/v1/namespaces/default/pods";

test("an object is created, read, replaced in its version alone, and deleted", async () => {
  const made = await server.post(maps, testConfigMap("crud", { a: "1" }));
  assert.equal(made.code, 201);
  assert.match(textOf(made.body.metadata?.uid), /^[0-9a-f-]{36}$/);
  assert.deepEqual((await server.get(`${maps}/crud`)).body, made.body);
  const again = await server.post(maps, testConfigMap("crud"));
  assert.equal(again.code, 409);
  assert.equal(again.body.reason, "AlreadyExists");
  assert.equal(again.body.message, 'configmaps "crud" already exists');
  const changed = await server.put(`${maps}/crud`, { ...made.body, data: { a: "2" } });
  assert.equal(changed.code, 200);
  assert.notEqual(changed.body.metadata?.resourceVersion, made.body.metadata?.resourceVersion);
  const stale = await server.put(`${maps}/crud`, { ...made.body, data: { a: "3" } });
  assert.equal(stale.code, 409);
  assert.equal(stale.body.reason, "Conflict");
  assert.equal(
    stale.body.message,
    'Operation cannot be fulfilled on configmaps "crud": the object has been modified; please apply your changes to the latest version and try again',
  );
  const unconditional = await server.put(`${maps}/crud`, testConfigMap("crud", { a: "4" }));
  assert.equal(unconditional.body.metadata?.uid, made.body.metadata?.uid);
  const same = await server.put(`${maps}/crud`, unconditional.body);
  assert.equal(same.body.metadata?.resourceVersion, unconditional.body.metadata?.resourceVersion);
  const deleted = await server.delete(`${maps}/crud`);
  assert.equal(deleted.body.status, "Success");
  assert.equal(deleted.body.details?.uid, made.body.metadata?.uid);
  const gone = await server.get(`${maps}/crud`);
  assert.equal(gone.code, 404);
  assert.equal(gone.body.message, 'configmaps "crud" not found');
  assert.deepEqual(gone.body.details, { name: "crud", kind: "configmaps" });
});

test("generateName gives names of their own, dryRun stores nothing", async () => {
  const generated = testConfigMap("", {}, { name: undefined, generateName: "gen-" });
  const names = await Promise.all(
    Array.from({ length: 5 }, async () => textOf((await server.post(maps, generated)).body.metadata?.name)),
  );
  assert.equal(new Set(names).size, 5);
  for (const name of names) assert.match(name, /^gen-[a-z0-9]{5}$/);
  const tried = await server.post(`${maps}?dryRun=All`, testConfigMap("tried"));
  assert.equal(tried.code, 201);
  assert.equal((await server.get(`${maps}/tried`)).code, 404);
  assert.equal((await server.post(`${maps}?dryRun=Some`, testConfigMap("tried"))).code, 400);
  const triedDelete = await server.delete(`${maps}/${names[0]}?dryRun=All`);
  assert.equal(triedDelete.code, 200);
  assert.equal((await server.get(`${maps}/${names[0]}`)).code, 200);
});

test("unknown and doubled fields are refused, told of or ignored, as fieldValidation says", async () => {
  const body = `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"strict"},"data":{"a":"1","a":"2"},"dota":{}}`;
  const headers = { "content-type": "application/json" };
  const strict = await server.call("POST", `${maps}?fieldValidation=Strict`, { body, headers });
  assert.equal(strict.code, 400);
  assert.equal(
    strict.body.message,
    'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: duplicate field "data.a", unknown field "dota"',
  );
  const warned = await server.call("POST", `${maps}?fieldValidation=Warn`, { body, headers });
  assert.equal(warned.code, 201);
  assert.match(textOf(warned.headers.warning), /299 - "duplicate field \\"data\.a\\""/);
  assert.equal(warned.body.dota, undefined);
  const ignored = await server.call("PUT", `${maps}/strict?fieldValidation=Ignore`, { body, headers });
  assert.equal(ignored.code, 200);
  assert.equal(ignored.headers.warning, undefined);
  assert.equal((await server.call("POST", `${maps}?fieldValidation=Never`, { body, headers })).code, 400);
});

test("JSON, merge and strategic merge patches change what they say", async () => {
  await server.post(
    pods,
    testPod("patched", {
      containers: [
        { name: "a", image: "a:1" },
        { name: "b", image: "b:1" },
      ],
    }),
  );
  const strategic = await server.patch(`${pods}/patched`, "strategic-merge", {
    spec: { containers: [{ name: "b", image: "b:2" }] },
  });
  assert.equal(strategic.code, 200);
  const images = (reply: typeof strategic): unknown[] =>
    listOf<{ image: string }>(reply.body.spec?.containers).map((each) => each.image); // the Pod above
  assert.deepEqual(images(strategic), ["a:1", "b:2"]);
  const json = await server.patch(`${pods}/patched`, "json", [
    { op: "test", path: "/spec/containers/0/name", value: "a" },
    { op: "replace", path: "/spec/containers/0/image", value: "a:2" },
  ]);
  assert.deepEqual(images(json), ["a:2", "b:2"]);
  const merged = await server.patch(`${pods}/patched`, "merge", {
    metadata: { labels: { x: "1" }, annotations: null },
  });
  assert.equal(merged.body.metadata?.labels?.x, "1");
  const failed = await server.patch(`${pods}/patched`, "json", [
    { op: "test", path: "/metadata/name", value: "other" },
  ]);
  assert.equal(failed.code, 422);
  const renamed = await server.patch(`${pods}/patched`, "merge", { metadata: { name: "other" } });
  assert.equal(renamed.code, 400);
  const outdated = await server.patch(`${pods}/patched`, "merge", {
    metadata: { resourceVersion: "1", labels: { y: "1" } },
  });
  assert.equal(outdated.code, 409);
  const unknown = await server.call("PATCH", `${pods}/patched`, {
    body: "{}",
    headers: { "content-type": "text/plain" },
  });
  assert.equal(unknown.code, 415);
});

test("twenty patches at once of one object all arrive", async () => {
  await server.post(maps, testConfigMap("busy"));
  const replies = await Promise.all(
    Array.from({ length: 8 }, (_, index) => server.patch(`${maps}/busy`, "merge", { data: { [`k${index}`]: "1" } })),
  );
  for (const reply of replies) assert.equal(reply.code, 200);
  assert.equal(Object.keys((await server.get(`${maps}/busy`)).body.data ?? {}).length, 8);
});

test("the status is changed through its subresource alone, and the rest not through it", async () => {
  await server.post(pods, { ...testPod("statused"), status: { phase: "Running" } });
  const made = await server.get(`${pods}/statused`);
  assert.equal(made.body.status?.phase, "Pending");
  assert.equal(made.body.status?.qosClass, "BestEffort");
  const direct = await server.patch(`${pods}/statused`, "merge", { status: { phase: "Failed" } });
  assert.equal(direct.body.status?.phase, "Pending");
  const sub = await server.patch(`${pods}/statused/status`, "strategic-merge", {
    metadata: { labels: { seen: "yes" } },
    spec: { nodeName: "elsewhere" },
    status: { phase: "Running", podIP: "10.1.2.3" },
  });
  assert.equal(sub.code, 200);
  assert.equal(sub.body.status?.phase, "Running");
  assert.equal(sub.body.spec?.nodeName, undefined);
  assert.equal(sub.body.metadata?.generation, 1);
  assert.equal((await server.get(`${pods}/statused/status`)).body.status?.podIP, "10.1.2.3");
});

test("a bound Pod is deleted with grace, sooner when asked again, at once by its kubelet", async () => {
  await server.post(pods, testPod("graceful"));
  const bound = await server.post(`${pods}/graceful/binding`, {
    metadata: { name: "graceful" },
    target: { kind: "Node", name: "node-a" },
  });
  assert.equal(bound.code, 201);
  const marked = await server.delete(`${pods}/graceful`);
  assert.equal(marked.body.metadata?.deletionGracePeriodSeconds, 30);
  assert.ok(marked.body.metadata?.deletionTimestamp);
  const longer = await server.delete(`${pods}/graceful`, { gracePeriodSeconds: 60 });
  assert.equal(longer.body.metadata?.deletionGracePeriodSeconds, 30);
  const sooner = await server.delete(`${pods}/graceful?gracePeriodSeconds=5`);
  assert.equal(sooner.body.metadata?.deletionGracePeriodSeconds, 5);
  const wrong = await server.delete(`${pods}/graceful`, { gracePeriodSeconds: 0, preconditions: { uid: "other" } });
  assert.equal(wrong.code, 409);
  assert.match(wrong.text, /Precondition failed: UID in precondition: other, UID in object meta: /);
  const last = await server.delete(`${pods}/graceful`, {
    gracePeriodSeconds: 0,
    preconditions: { uid: textOf(marked.body.metadata?.uid) },
  });
  assert.equal(last.code, 200);
  assert.equal((await server.get(`${pods}/graceful`)).code, 404);
  await server.post(pods, testPod("unbound"));
  await server.delete(`${pods}/unbound`);
  assert.equal((await server.get(`${pods}/unbound`)).code, 404);
});

test("finalizers hold a deleted object until the last is gone, and no new one may come", async () => {
  await server.post(maps, testConfigMap("held", {}, { finalizers: ["example.com/a", "example.com/b"] }));
  const marked = await server.delete(`${maps}/held`);
  assert.ok(marked.body.metadata?.deletionTimestamp);
  const more = await server.patch(`${maps}/held`, "merge", {
    metadata: { finalizers: ["example.com/a", "example.com/c"] },
  });
  assert.equal(more.code, 422);
  assert.match(more.text, /metadata\.finalizers: Forbidden: no new finalizers can be added/);
  const one = await server.patch(`${maps}/held`, "merge", { metadata: { finalizers: ["example.com/b"] } });
  assert.equal(one.code, 200);
  assert.equal((await server.patch(`${maps}/held`, "merge", { metadata: { finalizers: null } })).code, 200);
  assert.equal((await server.get(`${maps}/held`)).code, 404);
});

test("deletecollection deletes what is selected", async () => {
  for (const name of ["c1", "c2", "c3"])
    await server.post(maps, testConfigMap(name, {}, { labels: { set: name === "c3" ? "b" : "a" } }));
  const deleted = await server.delete(`${maps}?labelSelector=set%3Da`);
  assert.equal(deleted.body.kind, "ConfigMapList");
  assert.equal((await server.get(`${maps}/c1`)).code, 404);
  assert.equal((await server.get(`${maps}/c3`)).code, 200);
});

test("a namespace must be there, and gives no room when it goes", async () => {
  const nowhere = await server.post("/api/v1/namespaces/nowhere/configmaps", testConfigMap("x"));
  assert.equal(nowhere.code, 404);
  assert.equal(nowhere.body.message, 'namespaces "nowhere" not found');
  await server.post("/api/v1/namespaces", { metadata: { name: "brief" } });
  const account = await server.get("/api/v1/namespaces/brief/serviceaccounts/default");
  assert.equal(account.code, 200);
  assert.match(
    textOf((await server.get("/api/v1/namespaces/brief/configmaps/kube-root-ca.crt")).body.data?.["ca.crt"]),
    /BEGIN CERTIFICATE/,
  );
  const leaving = await server.delete("/api/v1/namespaces/brief");
  assert.equal(leaving.body.status?.phase, "Terminating");
  const late = await server.post("/api/v1/namespaces/brief/configmaps", testConfigMap("x"));
  assert.equal(late.code, 403);
  assert.match(late.text, /unable to create new content in namespace brief because it is being terminated/);
  const finalized = await server.put("/api/v1/namespaces/brief/finalize", {
    ...leaving.body,
    spec: { finalizers: [] },
  });
  assert.equal(finalized.code, 200);
  assert.equal((await server.get("/api/v1/namespaces/brief")).code, 404);
  assert.equal((await server.delete("/api/v1/namespaces/default")).code, 403);
  const other = await server.post(maps, testConfigMap("x", {}, { namespace: "kube-system" }));
  assert.equal(other.code, 400);
});

test("an Event is one thing in both of its versions", async () => {
  const event = {
    metadata: { name: "e1" },
    involvedObject: { kind: "Pod", name: "p", namespace: "default" },
    message: "hello",
    reason: "Greeted",
  };
  assert.equal((await server.post("/api/v1/namespaces/default/events", event)).code, 201);
  const fresh = await server.get("/apis/events.k8s.io/v1/namespaces/default/events/e1");
  assert.equal(fresh.body.note, "hello");
  assert.equal(fresh.body.regarding?.name, "p");
  assert.equal(fresh.body.message, undefined);
  const selected = await server.get("/api/v1/events?fieldSelector=involvedObject.name%3Dp%2Creason%3DGreeted");
  assert.equal(selected.body.items?.length, 1);
  await server.patch("/apis/events.k8s.io/v1/namespaces/default/events/e1", "merge", { note: "again" });
  assert.equal((await server.get("/api/v1/namespaces/default/events/e1")).body.message, "again");
});

test("fields and labels select, and what cannot be selected by is refused", async () => {
  await server.post(pods, testPod("selected", {}, { labels: { app: "web", tier: "front" } }));
  const names = async (query: string): Promise<string[]> =>
    ((await server.get(`${pods}?${query}`)).body.items as unknown as { metadata: { name: string } }[]).map(
      (each) => each.metadata.name,
    ); // a list of Pods
  assert.deepEqual(await names("labelSelector=app%3Dweb%2Ctier+in+(front,back)"), ["selected"]);
  assert.deepEqual(await names("fieldSelector=metadata.name%3Dselected%2Cstatus.phase!%3DRunning"), ["selected"]);
  assert.deepEqual(await names("fieldSelector=spec.nodeName%3Dnone"), []);
  const refused = await server.get(`${pods}?fieldSelector=spec.wrong%3Dx`);
  assert.equal(refused.code, 400);
  assert.equal(refused.body.message, "field label not supported: spec.wrong");
  assert.equal((await server.get(`${pods}?labelSelector=%3D%3D`)).code, 400);
});
