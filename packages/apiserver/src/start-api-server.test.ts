import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isTripodError, layoutOf, silentLogger } from "@tripod/base";
import { startApiServer } from "./start-api-server.ts";
import { SqliteStorage } from "./storage/sqlite-storage.ts";
import { TestServer, testConfigMap, testPod, textOf } from "./testing/test-server.ts";

const maps = "/api/v1/namespaces/default/configmaps";

test("a restart keeps objects, credentials and versions; a watch goes on from where it was", async () => {
  await using server = await TestServer.start();
  const certificate = readFileSync(server.layout.kubeconfig);
  const made = await server.post(maps, testConfigMap("kept"));
  await server.restart();
  assert.deepEqual(readFileSync(server.layout.kubeconfig), certificate);
  assert.deepEqual((await server.get(`${maps}/kept`)).body, made.body);
  await server.post(maps, testConfigMap("later"));
  for await (const event of server.watch(
    `${maps}?watch=true&resourceVersion=${textOf(made.body.metadata?.resourceVersion)}`,
  )) {
    assert.equal(event.object.metadata?.name, "later");
    break;
  }
});

test("a watch and a page from a version that is forgotten are 410 Expired", async () => {
  const dir = mkdtempSync("/tmp/tripod-api-410-");
  const storage = SqliteStorage.open(join(dir, "state.db"));
  try {
    await using server = await TestServer.start({ storage });
    const from = (await server.get(`${maps}?limit=1`)).body.metadata;
    for (let index = 0; index < 5; index += 1) await server.post(maps, testConfigMap(`m${index}`));
    const page = (await server.get(`${maps}?limit=2`)).body.metadata;
    await server.post(maps, testConfigMap("last"));
    await storage.compact(await storage.currentRevision());
    const watch = await server.get(`${maps}?watch=true&resourceVersion=${textOf(from?.resourceVersion)}`);
    assert.equal(watch.code, 410);
    assert.equal(watch.body.reason, "Expired");
    assert.match(watch.text, /too old resource version/);
    const rest = await server.get(`${maps}?limit=2&continue=${textOf(page?.continue)}`);
    assert.equal(rest.code, 410);
    assert.equal(rest.body.reason, "Expired");
    const future = await server.get(`${maps}?watch=true&resourceVersion=999999999`);
    assert.equal(future.code, 410);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("a taken port is told in one line that says what to do", async () => {
  await using server = await TestServer.start();
  const root = mkdtempSync("/tmp/tripod-api-port-");
  try {
    const options = {
      layout: layoutOf(root),
      address: "127.0.0.1",
      port: server.port,
      nodeName: "n",
      log: silentLogger,
    };
    await assert.rejects(
      startApiServer(options),
      (error) => isTripodError(error, "already-exists") && /the port is taken; end what holds it/.test(error.message),
    );
  } finally {
    rmSync(root, { recursive: true });
  }
});

test("kubeconfigs and keys are for their owner alone", async () => {
  await using server = await TestServer.start();
  const { kubeconfig, pkiDir } = server.layout;
  for (const path of [
    kubeconfig,
    join(pkiDir, "kubelet.kubeconfig"),
    join(pkiDir, "ca.pem"),
    join(pkiDir, "service-accounts.key"),
  ])
    assert.equal(statSync(path).mode & 0o777, 0o600, path);
  assert.equal(statSync(pkiDir).mode & 0o777, 0o700);
});

test("2,000 Pods are listed, printed and watched without holding the event loop", async () => {
  await using server = await TestServer.start();
  const pods = "/api/v1/namespaces/default/pods";
  const spec = { containers: [{ name: "main", image: "busybox:1", env: [{ name: "X", value: "y".repeat(1500) }] }] };
  for (let at = 0; at < 2000; at += 100)
    await Promise.all(Array.from({ length: 100 }, (_, index) => server.post(pods, testPod(`p${at + index}`, spec))));
  let longestMs = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    longestMs = Math.max(longestMs, now - last);
    last = now;
  }, 1);
  const all = await server.open("GET", pods);
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of all as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  assert.ok(bytes > 2000 * 1500);
  const headers = {
    accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "accept-encoding": "gzip",
  };
  const table = await server.call("GET", pods, { headers });
  assert.equal(table.headers["content-encoding"], "gzip");
  let seen = 0;
  for await (const _ of server.watch(`${pods}?watch=true`)) if ((seen += 1) === 2000) break;
  clearInterval(timer);
  // A busy machine adds its own; what must not be is a step that grows with the number of objects.
  assert.ok(longestMs < 250, `the longest step took ${longestMs.toFixed(0)} ms`);
});

test("damaged credentials are named, with what to do", async () => {
  const root = mkdtempSync("/tmp/tripod-api-pki-");
  try {
    const layout = layoutOf(root);
    const options = { layout, address: "127.0.0.1", port: 0, nodeName: "n", log: silentLogger };
    await (await startApiServer(options)).close();
    writeFileSync(join(layout.pkiDir, "ca.pem"), "");
    await assert.rejects(
      startApiServer(options),
      (error) => isTripodError(error, "corrupt") && error.message.includes("ca.pem"),
    );
  } finally {
    rmSync(root, { recursive: true });
  }
});
