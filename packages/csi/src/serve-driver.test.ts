import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { describe, test } from "node:test";
import {
  ControllerServiceCapability_RPC_Type as ControllerRpc,
  NodeServiceCapability_RPC_Type as NodeRpc,
  PluginCapability_Service_Type as Service,
  VolumeCapability_AccessMode_Mode as Mode,
} from "@tripod/api/csi";
import { AsyncQueue, isTripodError, silentLogger, TripodError } from "@tripod/base";
import { TemporaryFolder } from "@tripod/linux/testing";
import { connectDriver } from "./connect-driver.ts";
import { defineDriver, type Driver } from "./driver.ts";
import { parseEndpoint } from "./endpoint.ts";
import { serveDriver } from "./serve-driver.ts";
import { type RegisteredPlugin, watchPlugins } from "./watch-plugins.ts";

const capability = { accessType: { case: "mount" as const, value: {} }, accessMode: { mode: Mode.SINGLE_NODE_WRITER } };

const node: NonNullable<Driver["node"]> = {
  nodeGetInfo: async () => ({ nodeId: "n" }),
  nodePublishVolume: async () => ({}),
  nodeUnpublishVolume: async () => ({}),
};
const minimal: Driver = defineDriver({ name: "minimal.example.com", version: "1.2.3", node });

test("capabilities follow from the methods that a driver has", async () => {
  using folder = new TemporaryFolder("csi");
  const driver = defineDriver({
    name: "full.example.com",
    version: "1",
    features: { topology: true, expansion: "online", singleNodeMultiWriter: true },
    controller: {
      createVolume: async () => ({}),
      deleteVolume: async () => ({}),
      getCapacity: async () => ({}),
      validateVolumeCapabilities: async () => ({}),
    },
    node: { ...node, nodeGetVolumeStats: async () => ({}) },
  });
  await using served = await serveDriver({ endpoint: `unix://${folder.join("csi.sock")}`, driver });
  using client = connectDriver(served.socket);
  const controller = (await client.controller.controllerGetCapabilities({})).capabilities.map(
    ({ type }) => type.value?.type,
  );
  assert.deepEqual(controller, [
    ControllerRpc.CREATE_DELETE_VOLUME,
    ControllerRpc.GET_CAPACITY,
    ControllerRpc.SINGLE_NODE_MULTI_WRITER,
  ]);
  const ofNode = (await client.node.nodeGetCapabilities({})).capabilities.map(({ type }) => type.value?.type);
  assert.deepEqual(ofNode, [NodeRpc.GET_VOLUME_STATS, NodeRpc.SINGLE_NODE_MULTI_WRITER]);
  const plugin = (await client.identity.getPluginCapabilities({})).capabilities;
  assert.deepEqual(
    plugin.map(({ type }) => [type.case, type.value?.type]),
    [
      ["service", Service.CONTROLLER_SERVICE],
      ["service", Service.VOLUME_ACCESSIBILITY_CONSTRAINTS],
      ["volumeExpansion", 1],
    ],
  );
  await assert.rejects(client.controller.listVolumes({}), (error) => isTripodError(error, "unimplemented"));
});

test("a driver without a controller has none", async () => {
  using folder = new TemporaryFolder("csi");
  await using served = await serveDriver({ endpoint: folder.join("csi.sock"), driver: minimal });
  using client = connectDriver(`unix://${served.socket}`);
  const { name, vendorVersion } = await client.identity.getPluginInfo({});
  assert.deepEqual([name, vendorVersion], ["minimal.example.com", "1.2.3"]);
  await assert.rejects(client.controller.controllerGetCapabilities({}), (error) =>
    isTripodError(error, "unimplemented"),
  );
});

test("drivers that cannot work are refused when they are defined", () => {
  const { nodeGetInfo, nodePublishVolume, nodeUnpublishVolume } = node;
  const rows: Driver[] = [
    { ...minimal, name: "no spaces" },
    { ...minimal, name: "a".repeat(64) },
    { ...minimal, controller: { validateVolumeCapabilities: async () => ({}), createVolume: async () => ({}) } },
    { ...minimal, controller: {} },
    { ...minimal, node: { nodeGetInfo, nodePublishVolume, nodeUnpublishVolume, nodeStageVolume: async () => ({}) } },
  ];
  for (const row of rows)
    assert.throws(
      () => defineDriver(row),
      (error) => isTripodError(error, "invalid"),
    );
});

test("the same call while one is pending is ABORTED; calls for other places wait their turn", async () => {
  using folder = new TemporaryFolder("csi");
  const entered = new AsyncQueue<string>();
  const gates: PromiseWithResolvers<void>[] = [];
  const driver = defineDriver({
    ...minimal,
    node: {
      ...node,
      async nodePublishVolume({ targetPath }) {
        const gate = Promise.withResolvers<void>();
        gates.push(gate);
        entered.push(targetPath);
        await gate.promise;
        return {};
      },
    },
  });
  await using served = await serveDriver({ endpoint: folder.join("csi.sock"), driver });
  using client = connectDriver(served.socket);
  const publish = (volumeId: string, targetPath: string) =>
    client.node.nodePublishVolume({ volumeId, targetPath, volumeCapability: capability });
  const order = entered[Symbol.asyncIterator]();
  const first = publish("v", "/a");
  assert.equal((await order.next()).value, "/a");
  await assert.rejects(publish("v", "/a"), (error) => isTripodError(error, "aborted"));
  const second = publish("v", "/b");
  const other = publish("w", "/c");
  assert.equal((await order.next()).value, "/c", "another volume does not wait");
  gates[0]?.resolve();
  await first;
  assert.equal((await order.next()).value, "/b");
  for (const gate of gates) gate.resolve();
  await Promise.all([second, other]);
});

test("a failing probe is FAILED_PRECONDITION, and a slow call ends at its deadline", async () => {
  using folder = new TemporaryFolder("csi");
  const driver = defineDriver({
    ...minimal,
    probe: async () => {
      throw new Error("disk is missing");
    },
    node: { ...node, nodeGetInfo: () => new Promise(() => {}) },
  });
  await using served = await serveDriver({ endpoint: folder.join("csi.sock"), driver });
  using client = connectDriver(served.socket, { timeoutMs: 50 });
  await assert.rejects(
    client.identity.probe({}),
    (error) => isTripodError(error, "failed-precondition") && /disk/.test(error.message),
  );
  await assert.rejects(client.node.nodeGetInfo({}), (error) => isTripodError(error, "timeout"));
});

test("endpoints that are no absolute socket path are refused", () => {
  for (const endpoint of [
    "",
    "csi.sock",
    "unix://csi.sock",
    "tcp://1.2.3.4:5",
    "unix:///a/../b",
    `/${"x".repeat(120)}`,
  ])
    assert.throws(
      () => parseEndpoint(endpoint),
      (error) => isTripodError(error, "invalid"),
    );
});

describe("registration", () => {
  const watched = (dir: string, registered: (plugin: RegisteredPlugin) => Promise<void> = async () => {}) => {
    const events = new AsyncQueue<string>();
    const watcher = watchPlugins(dir, {
      log: silentLogger,
      async registered(plugin) {
        await registered(plugin);
        events.push(`+${plugin.type} ${plugin.name} ${plugin.endpoint}`);
      },
      async unregistered({ name }) {
        events.push(`-${name}`);
      },
    });
    const reader = events[Symbol.asyncIterator]();
    return { watcher, next: async () => (await reader.next()).value };
  };

  test("a driver is found when it appears, lost when it ends, and found again", async () => {
    using folder = new TemporaryFolder("csi");
    const registrationDir = folder.join("registry");
    const { watcher, next } = watched(registrationDir);
    await using _watcher = watcher;
    const endpoint = folder.join("csi.sock");
    for (let turn = 0; turn < 2; turn += 1) {
      const served = await serveDriver({ endpoint, driver: minimal, registrationDir });
      assert.equal(await next(), `+CSIPlugin minimal.example.com ${endpoint}`);
      await served[Symbol.asyncDispose]();
      assert.equal(await next(), "-minimal.example.com");
    }
    assert.equal(existsSync(`${registrationDir}/minimal.example.com-reg.sock`), false);
  });

  test("the registration socket is made again when it vanishes", async () => {
    using folder = new TemporaryFolder("csi");
    const registrationDir = folder.join("registry");
    const { watcher, next } = watched(registrationDir);
    await using _watcher = watcher;
    await using _served = await serveDriver({ endpoint: folder.join("csi.sock"), driver: minimal, registrationDir });
    assert.match(String(await next()), /^\+/);
    rmSync(`${registrationDir}/minimal.example.com-reg.sock`);
    assert.equal(await next(), "-minimal.example.com");
    assert.match(String(await next()), /^\+CSIPlugin minimal/);
  });

  test("the registration socket is made again when its folder vanishes", async () => {
    using folder = new TemporaryFolder("csi");
    const registrationDir = folder.join("registry");
    await using _served = await serveDriver({ endpoint: folder.join("csi.sock"), driver: minimal, registrationDir });
    rmSync(registrationDir, { recursive: true });
    while (!existsSync(`${registrationDir}/minimal.example.com-reg.sock`))
      await new Promise((resolve) => setImmediate(resolve));
    const { watcher, next } = watched(registrationDir);
    await using _watcher = watcher;
    assert.match(String(await next()), /^\+CSIPlugin minimal/);
  });

  test("a plugin that could not be taken up is tried again", async () => {
    using folder = new TemporaryFolder("csi");
    const registrationDir = folder.join("registry");
    let attempts = 0;
    const { watcher, next } = watched(registrationDir, async () => {
      attempts += 1;
      if (attempts < 3) throw new TripodError("unavailable", "API server is away");
    });
    await using _watcher = watcher;
    await using _served = await serveDriver({ endpoint: folder.join("csi.sock"), driver: minimal, registrationDir });
    assert.match(String(await next()), /^\+/);
    assert.equal(attempts, 3);
  });

  test("dead sockets, other files and hidden ones hold nothing up", async () => {
    using folder = new TemporaryFolder("csi");
    const registrationDir = folder.join("registry");
    mkdirSync(registrationDir);
    const dead = createServer();
    await new Promise<void>((resolve) => dead.listen(`${registrationDir}/dead.sock`, resolve));
    chmodSync(`${registrationDir}/dead.sock`, 0o600);
    dead.on("connection", (socket) => socket.destroy());
    mkdirSync(`${registrationDir}/folder.sock`);
    const { watcher, next } = watched(registrationDir);
    await using _watcher = watcher;
    await using _served = await serveDriver({ endpoint: folder.join("csi.sock"), driver: minimal, registrationDir });
    assert.match(String(await next()), /^\+CSIPlugin minimal/);
    await new Promise<void>((resolve) => dead.close(() => resolve()));
  });
});
