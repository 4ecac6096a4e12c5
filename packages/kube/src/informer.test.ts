import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConfigMap } from "@tripod/api/kubernetes";
import { silentLogger } from "@tripod/base";
import { FakeApiServer } from "./fake-api-server.ts";
import { configMaps, Informer, KubeClient, waitFor } from "./index.ts";

async function setUp(stack: AsyncDisposableStack) {
  const server = stack.use(new FakeApiServer());
  const client = stack.use(new KubeClient({ server: await server.start(), namespace: "default" }));
  const informer = stack.use(
    new Informer<ConfigMap>(client.resource(configMaps), {
      log: silentLogger,
      indexes: { colour: (map) => (map.data?.colour === undefined ? [] : [map.data.colour]) },
    }),
  );
  const changes: string[] = [];
  let wake: (() => void) | undefined;
  const note = (text: string): void => {
    changes.push(text);
    wake?.();
  };
  informer.on({
    added: (map) => note(`+${map.metadata.name}`),
    updated: (map, previous) => note(`~${map.metadata.name} ${previous.data?.colour}->${map.data?.colour}`),
    deleted: (map) => note(`-${map.metadata.name}`),
  });
  /** Resolves when as many changes have been seen. */
  const seen = async (count: number): Promise<string[]> => {
    while (changes.length < count) await new Promise<void>((resolve) => (wake = resolve));
    return changes;
  };
  return { server, client, informer, seen };
}

test("an informer holds what is there, follows changes and keeps its indexes", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, informer, seen } = await setUp(stack);
  server.put("a", { colour: "red" });
  informer.start();
  await informer.synced;
  assert.equal(informer.get("default/a")?.data?.colour, "red");
  await server.watched();
  server.put("b", { colour: "red" });
  server.put("a", { colour: "blue" });
  server.remove("b");
  assert.deepEqual(await seen(4), ["+a", "+b", "~a red->blue", "-b"]);
  assert.deepEqual(informer.byIndex("colour", "red"), []);
  assert.deepEqual(
    informer.byIndex("colour", "blue").map((map) => map.metadata.name),
    ["a"],
  );
  assert.equal(informer.size, 1);
  const late: string[] = [];
  informer.on({ added: (map) => late.push(map.metadata.name) });
  assert.deepEqual(late, ["a"]);
});

test("an informer survives a broken watch and misses nothing", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, informer, seen } = await setUp(stack);
  informer.start();
  await informer.synced;
  await server.watched();
  server.put("a");
  await seen(1);
  server.breakWatches();
  // The version that it comes back with must be refused for the change below to be found, as after a compaction.
  server.put("b");
  server.remove("a", { silently: true });
  server.oldestVersion = server.version;
  assert.deepEqual((await seen(3)).slice(1).sort(), ["+b", "-a"]);
});

test("an object that was deleted and made again unseen is told as both", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, informer, seen } = await setUp(stack);
  server.put("a");
  informer.start();
  await informer.synced;
  await server.watched();
  server.breakWatches();
  server.remove("a", { silently: true });
  server.put("a");
  server.oldestVersion = server.version;
  assert.deepEqual(await seen(3), ["+a", "-a", "+a"]);
});

test("a list of many pages is whole", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, informer } = await setUp(stack);
  for (let index = 0; index < 1234; index += 1) server.put(`m${index}`);
  informer.start();
  await informer.synced;
  assert.equal(informer.size, 1234);
});

test("closing an informer that never synced rejects synced", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, informer } = await setUp(stack);
  server.script = () => true;
  informer.start();
  const waiting = assert.rejects(informer.synced, { code: "cancelled" });
  await informer.close();
  await waiting;
});

test("waitFor sees a change, a deletion, and gives up in time", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, client } = await setUp(stack);
  const maps = client.resource(configMaps);
  const where = { namespace: "default" };
  server.put("a", { step: "1" });
  const changed = waitFor(maps, "a", (map) => map?.data?.step === "2", where);
  await server.watched();
  server.put("a", { step: "2" });
  assert.equal((await changed)?.data?.step, "2");
  const gone = waitFor(maps, "a", (map) => map === undefined, where);
  server.remove("a");
  assert.equal(await gone, undefined);
  await assert.rejects(
    waitFor(maps, "a", (map) => map !== undefined, { ...where, timeoutMs: 50 }),
    { code: "timeout" },
  );
});
