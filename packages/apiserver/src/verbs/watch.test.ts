import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { listOf, TestServer, testConfigMap, textOf, type WatchEvent } from "../testing/test-server.ts";

let server: TestServer;
before(async () => {
  server = await TestServer.start();
});
after(() => server[Symbol.asyncDispose]());

const maps = (namespace: string): string => `/api/v1/namespaces/${namespace}/configmaps`;

/** A namespace of its own for each test, so that what others write is not seen. */
async function freshNamespace(): Promise<string> {
  const made = await server.post("/api/v1/namespaces", { metadata: { generateName: "watch-" } });
  const name = textOf(made.body.metadata?.name);
  await server.delete(`${maps(name)}/kube-root-ca.crt`);
  return name;
}

async function take(events: AsyncIterable<WatchEvent>, count: number): Promise<WatchEvent[]> {
  const taken: WatchEvent[] = [];
  for await (const event of events) if (taken.push(event) === count) break;
  return taken;
}
const shown = (events: readonly WatchEvent[]): string[] =>
  events.map(({ type, object }) => `${type} ${textOf(object.metadata?.name ?? object.kind)}`);
const versionOf = async (path: string): Promise<string> =>
  textOf((await server.get(path)).body.metadata?.resourceVersion);

test("a watch without a version begins with what is there", async () => {
  const path = maps(await freshNamespace());
  await server.post(path, testConfigMap("a"));
  const events = server.watch(`${path}?watch=true`);
  assert.deepEqual(shown(await take(events, 1)), ["ADDED a"]);
});

test("a watch from a version gets every change after it, past and coming", async () => {
  const path = maps(await freshNamespace());
  const from = await versionOf(path);
  await server.post(path, testConfigMap("a"));
  const events = server.watch(`${path}?watch=1&resourceVersion=${from}`);
  const first = await take(server.watch(`${path}?watch=1&resourceVersion=${from}`), 1);
  assert.deepEqual(shown(first), ["ADDED a"]);
  await server.patch(`${path}/a`, "merge", { data: { x: "1" } });
  const deleted = server.delete(`${path}/a`);
  const all = await take(events, 3);
  await deleted;
  assert.deepEqual(shown(all), ["ADDED a", "MODIFIED a", "DELETED a"]);
  const versions = all.map((event) => Number(event.object.metadata?.resourceVersion));
  assert.deepEqual(
    versions,
    versions.toSorted((a, b) => a - b),
  );
});

test("a selected watch sees objects come and go as they change", async () => {
  const path = maps(await freshNamespace());
  const from = await versionOf(path);
  await server.post(path, testConfigMap("a", {}, { labels: { on: "no" } }));
  await server.patch(`${path}/a`, "merge", { metadata: { labels: { on: "yes" } } });
  await server.patch(`${path}/a`, "merge", { data: { x: "1" } });
  await server.patch(`${path}/a`, "merge", { metadata: { labels: { on: "no" } } });
  await server.post(path, testConfigMap("b", {}, { labels: { on: "yes" } }));
  const events = server.watch(`${path}?watch=true&resourceVersion=${from}&labelSelector=on%3Dyes`);
  assert.deepEqual(shown(await take(events, 4)), ["ADDED a", "MODIFIED a", "DELETED a", "ADDED b"]);
});

test("a streaming list ends in a bookmark that says so, and goes on", async () => {
  const path = maps(await freshNamespace());
  await server.post(path, testConfigMap("a"));
  await server.post(path, testConfigMap("b"));
  const query =
    "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=";
  const events = server.watch(`${path}?${query}`);
  const seen: string[] = [];
  for await (const event of events) {
    const isEnd = textOf(event.object.metadata?.annotations?.["k8s.io/initial-events-end"]) === "true";
    seen.push(isEnd ? "END" : `${event.type} ${textOf(event.object.metadata?.name)}`);
    if (isEnd) await server.post(path, testConfigMap("c"));
    if (seen.length === 4) break;
  }
  assert.deepEqual(seen, ["ADDED a", "ADDED b", "END", "ADDED c"]);
  const refused = await server.get(`${path}?watch=true&sendInitialEvents=true`);
  assert.equal(refused.code, 422);
  assert.match(refused.text, /sendInitialEvents requires setting resourceVersionMatch to NotOlderThan/);
});

test("timeoutSeconds ends a watch, with a last bookmark where bookmarks are taken", async () => {
  const path = maps(await freshNamespace());
  const events = await Array.fromAsync(
    server.watch(
      `${path}?watch=true&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=${await versionOf(path)}`,
    ),
  );
  assert.deepEqual(
    events.map((event) => event.type),
    ["BOOKMARK"],
  );
  assert.equal(events[0]?.object.kind, "ConfigMap");
});

test("a watched Table has its columns once", async () => {
  const path = maps(await freshNamespace());
  await server.post(path, testConfigMap("a", { x: "1" }));
  await server.post(path, testConfigMap("b"));
  const headers = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json" };
  const [first, second] = await take(server.watch(`${path}?watch=true`, { headers }), 2);
  assert.equal(first?.object.kind, "Table");
  assert.deepEqual(
    listOf<{ name: string }>(first?.object.columnDefinitions).map((each) => each.name),
    ["Name", "Data", "Age"],
  );
  assert.equal(second?.object.columnDefinitions?.length, 0);
  const row = first?.object.rows?.[0] as unknown as { cells: unknown[]; object: { kind: string } }; // a Table's row
  assert.deepEqual(row.cells.slice(0, 2), ["a", 1]);
  assert.equal(row.object.kind, "PartialObjectMetadata");
});

test("one object can be watched by its name", async () => {
  const path = maps(await freshNamespace());
  await server.post(path, testConfigMap("a"));
  await server.post(path, testConfigMap("b"));
  assert.deepEqual(shown(await take(server.watch(`${path}?watch=true&fieldSelector=metadata.name%3Db`), 1)), [
    "ADDED b",
  ]);
  assert.deepEqual(shown(await take(server.watch(`${path}/b?watch=true`), 1)), ["ADDED b"]);
});

test("pages of a list are of one moment, and end with the version of that moment", async () => {
  const path = maps(await freshNamespace());
  for (let index = 0; index < 7; index += 1) await server.post(path, testConfigMap(`m${index}`));
  const first = await server.get(`${path}?limit=3`);
  assert.equal(first.body.metadata?.remainingItemCount, 4);
  await server.delete(`${path}/m5`);
  await server.post(path, testConfigMap("m55"));
  const names = (reply: typeof first): string[] =>
    listOf<{ metadata: { name: string } }>(reply.body.items).map((each) => each.metadata.name); // a list of ConfigMaps
  const second = await server.get(`${path}?limit=3&continue=${textOf(first.body.metadata?.continue)}`);
  const third = await server.get(`${path}?limit=3&continue=${textOf(second.body.metadata?.continue)}`);
  assert.deepEqual([...names(first), ...names(second), ...names(third)], ["m0", "m1", "m2", "m3", "m4", "m5", "m6"]);
  assert.equal(third.body.metadata?.continue, undefined);
  assert.equal(third.body.metadata?.resourceVersion, first.body.metadata?.resourceVersion);
  assert.equal((await server.get(`${path}?limit=3&continue=bm90IG91cnM`)).code, 400);
  const elsewhere = await server.get(
    `/api/v1/namespaces/default/secrets?continue=${textOf(first.body.metadata?.continue)}`,
  );
  assert.equal(elsewhere.code, 400);
  const exact = await server.get(
    `${path}?resourceVersion=${textOf(first.body.metadata?.resourceVersion)}&resourceVersionMatch=Exact`,
  );
  assert.equal(exact.body.items?.length, 7);
});

test("pages of what a selector leaves are full", async () => {
  const path = maps(await freshNamespace());
  for (let index = 0; index < 9; index += 1)
    await server.post(path, testConfigMap(`m${index}`, {}, { labels: { odd: textOf(index % 2) } }));
  const first = await server.get(`${path}?limit=3&labelSelector=odd%3D1`);
  assert.equal(first.body.items?.length, 3);
  const second = await server.get(
    `${path}?limit=3&labelSelector=odd%3D1&continue=${textOf(first.body.metadata?.continue)}`,
  );
  assert.equal(second.body.items?.length, 1);
});
