import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ContainerState } from "@tripod/api/cri";
import { Event } from "@tripod/api/nri";
import { isTripodError } from "@tripod/base";
import { startTestNode, type TestNode } from "../testing/test-node.ts";
import { startTestPlugin, type TestPluginOptions } from "./testing/test-plugin.ts";

let node: TestNode;
let socket: string;
before(async () => {
  node = await startTestNode({ config: { nri: { requestTimeoutMs: 3000, registrationTimeoutMs: 1000 } } });
  socket = join(node.layout.runDir, "nri.sock");
});
after(async () => {
  await node[Symbol.asyncDispose]();
});

const plug = (options: Partial<TestPluginOptions> & { index: string }) =>
  startTestPlugin(socket, { name: "test", ...options });
const pod = async (): Promise<string> =>
  (await node.runtime.runPodSandbox({ config: node.sandboxConfig() })).podSandboxId;
const output = async (containerId: string): Promise<string[]> => {
  await node.reached(containerId, ContainerState.CONTAINER_EXITED);
  return (await node.log(containerId)).map((line) => line.replace("stdout F ", ""));
};

test("a plugin hears of every step of a sandbox and its containers, in order", async () => {
  await using plugin = await plug({ index: "10" });
  await plugin.synchronized;
  const config = node.sandboxConfig();
  const { podSandboxId } = await node.runtime.runPodSandbox({ config });
  const containerId = await node.run(podSandboxId, "sleep 1000", { metadata: { name: "c", attempt: 0 } });
  await node.runtime.updateContainerResources({ containerId, linux: { cpuShares: 512n } });
  await node.runtime.updatePodSandboxResources({ podSandboxId, resources: { cpuShares: 600n } });
  await node.runtime.stopContainer({ containerId, timeout: 0n });
  await node.runtime.removeContainer({ containerId });
  await node.runtime.stopPodSandbox({ podSandboxId });
  await node.runtime.removePodSandbox({ podSandboxId });
  const name = config.metadata?.name;
  assert.deepEqual(plugin.heard, [
    `runPodSandbox ${name}`,
    "createContainer c",
    "validateContainerAdjustment c",
    "postCreateContainer c",
    "startContainer c",
    "postStartContainer c",
    "updateContainer c",
    "postUpdateContainer c",
    `updatePodSandbox ${name}`,
    `postUpdatePodSandbox ${name}`,
    "stopContainer c",
    "removeContainer c",
    `stopPodSandbox ${name}`,
    `removePodSandbox ${name}`,
  ]);
});

test("a plugin of before NRI 0.12 hears of the same as changes of state", async () => {
  await using plugin = await plug({ index: "10", old: true });
  await plugin.synchronized;
  const config = node.sandboxConfig();
  const { podSandboxId } = await node.runtime.runPodSandbox({ config });
  const containerId = await node.run(podSandboxId, "sleep 1000", { metadata: { name: "c", attempt: 0 } });
  await node.runtime.stopContainer({ containerId, timeout: 0n });
  await node.runtime.removePodSandbox({ podSandboxId });
  const name = config.metadata?.name;
  assert.deepEqual(plugin.heard, [
    `${Event.RUN_POD_SANDBOX} ${name}`,
    "createContainer c",
    `${Event.POST_CREATE_CONTAINER} c`,
    `${Event.START_CONTAINER} c`,
    `${Event.POST_START_CONTAINER} c`,
    "stopContainer c",
    `${Event.STOP_POD_SANDBOX} ${name}`,
    `${Event.REMOVE_CONTAINER} c`,
    `${Event.REMOVE_POD_SANDBOX} ${name}`,
  ]);
});

test("adjustments of several plugins reach the container, and each sees what those before it did", async () => {
  const order: string[] = [];
  await using first = await plug({
    index: "20",
    name: "first",
    handlers: {
      async createContainer({ container, pod: of }) {
        order.push("first");
        assert.ok(container?.env.includes("FOO=bar") && of?.ips[0] !== undefined);
        return {
          adjust: {
            annotations: { "nri/x": "1" },
            env: [
              { key: "ADDED", value: "by first" },
              { key: "-FOO", value: "" },
            ],
            mounts: [{ destination: "/nri", type: "bind", source: node.layout.etcDir, options: ["rbind", "ro"] }],
            rlimits: [{ type: "RLIMIT_NOFILE", soft: 77n, hard: 88n }],
            hooks: { createRuntime: [{ path: "/bin/touch", args: ["touch", join(node.layout.runDir, "hooked")] }] },
            linux: {
              devices: [{ path: "/dev/nri-null", type: "c", major: 1n, minor: 3n, fileMode: { value: 0o600 } }],
              oomScoreAdj: { value: 321n },
              resources: { cpu: { shares: { value: 333n } }, pids: { limit: 55n } },
              sysctl: { "net.ipv4.ip_default_ttl": "33" },
            },
          },
        };
      },
    },
  });
  await using second = await plug({
    index: "10",
    name: "second",
    handlers: {
      async createContainer({ container }) {
        order.push("second");
        assert.ok(!container?.env.includes("ADDED=by first"));
        return { adjust: { env: [{ key: "ALSO", value: "by second" }] } };
      },
    },
  });
  await Promise.all([first.synchronized, second.synchronized]);
  mkdirSync(node.layout.etcDir, { recursive: true });
  writeFileSync(join(node.layout.etcDir, "seen"), "seen");
  const podSandboxId = await pod();
  const containerId = await node.run(
    podSandboxId,
    [
      'echo "$ADDED|$ALSO|$FOO"',
      'echo "$(cat /nri/seen)"', // one write: a line in parts is logged in parts
      "ulimit -n",
      "stat -c %t,%T /dev/nri-null",
      "cat /proc/self/oom_score_adj",
      "cat /proc/sys/net/ipv4/ip_default_ttl",
    ].join("; "),
  );
  assert.deepEqual(await output(containerId), ["by first|by second|", "seen", "77", "1,3", "321", "33"]);
  assert.deepEqual(order, ["second", "first"]);
  assert.ok(existsSync(join(node.layout.runDir, "hooked")));
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("two plugins that set the same fail the creation by name, and leave nothing behind", async () => {
  const handlers = { createContainer: async () => ({ adjust: { env: [{ key: "SAME", value: "x" }] } }) };
  const events = [Event.CREATE_CONTAINER, Event.REMOVE_CONTAINER];
  await using one = await plug({ index: "01", name: "one", handlers, events });
  await using two = await plug({ index: "02", name: "two", handlers, events });
  await Promise.all([one.synchronized, two.synchronized]);
  const podSandboxId = await pod();
  await assert.rejects(node.create(podSandboxId, "true"), /01-one and 02-two both set Env "SAME"/);
  assert.deepEqual((await node.runtime.listContainers({})).containers, []);
  assert.match(one.heard.join(), /^createContainer c\d+,removeContainer c\d+$/);
  // Who asks for the other's to be removed first may set it.
  await using third = await plug({
    index: "03",
    name: "three",
    handlers: {
      createContainer: async () => ({
        adjust: {
          env: [
            { key: "-SAME", value: "" },
            { key: "SAME", value: "three" },
          ],
        },
      }),
    },
  });
  await third.synchronized;
  await two[Symbol.asyncDispose]();
  const containerId = await node.run(podSandboxId, "echo $SAME");
  assert.deepEqual(await output(containerId), ["three"]);
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("a plugin that refuses fails what it was asked about, with its reason", async () => {
  await using plugin = await plug({
    index: "10",
    events: [Event.CREATE_CONTAINER, Event.VALIDATE_CONTAINER_ADJUSTMENT],
    handlers: {
      createContainer: async () => ({ adjust: { annotations: { "nri/owner": "x" } } }),
      async validateContainerAdjustment({ adjust, owners, container }) {
        assert.deepEqual(adjust?.annotations, { "nri/owner": "x" });
        assert.deepEqual(owners?.owners[container?.id ?? ""]?.compound[1]?.owners, { "nri/owner": "10-test" });
        return { reject: true, reason: "not today" };
      },
    },
  });
  await plugin.synchronized;
  const podSandboxId = await pod();
  await assert.rejects(
    node.create(podSandboxId, "true"),
    (error) => isTripodError(error, "failed-precondition") && /10-test refuses .*not today/.test(error.message),
  );
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("a sandbox that is stopped while a plugin thinks gets no container", async () => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  await using plugin = await plug({
    index: "10",
    events: [Event.CREATE_CONTAINER],
    handlers: {
      async createContainer() {
        asked.resolve();
        await answer.promise;
        return {};
      },
    },
  });
  await plugin.synchronized;
  const podSandboxId = await pod();
  const creation = node.create(podSandboxId, "sleep 1000");
  await asked.promise;
  const stop = node.runtime.stopPodSandbox({ podSandboxId });
  // The stop is under way when the next request for a container is refused at once.
  for (;;) {
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId });
    if (status?.state === 1) break;
  }
  answer.resolve();
  await assert.rejects(creation, (error) => isTripodError(error, "failed-precondition"));
  await stop;
  await assert.rejects(node.create(podSandboxId, "true"), (error) => isTripodError(error, "failed-precondition"));
  assert.deepEqual((await node.runtime.listContainers({})).containers, []);
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("plugins that join while containers are being made miss none, and hear of none twice", async () => {
  const podSandboxId = await pod();
  await using slow = await plug({ index: "00", name: "always", events: [Event.CREATE_CONTAINER] });
  await slow.synchronized;
  const creations = Array.from({ length: 12 }, (_, n) =>
    node.create(podSandboxId, "true", { metadata: { name: `many${n}`, attempt: 0 } }),
  );
  const plugins = [];
  for (let n = 0; n < 4; n += 1) {
    const plugin = await plug({ index: `1${n}`, events: [Event.CREATE_CONTAINER] });
    plugins.push(plugin);
    await plugin.synchronized;
  }
  await Promise.all(creations);
  for (const plugin of plugins) {
    const { containers } = await plugin.synchronized;
    const known = [
      ...containers.map(({ name }) => name),
      ...plugin.heard.map((event) => event.replace("createContainer ", "")),
    ];
    assert.deepEqual(known.toSorted(), Array.from({ length: 12 }, (_, n) => `many${n}`).toSorted());
    await plugin[Symbol.asyncDispose]();
  }
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("a plugin that joins is given what is there, and changes limits in reply and later unasked", async () => {
  const podSandboxId = await pod();
  const containerId = await node.run(podSandboxId, "sleep 1000", {
    linux: { resources: { memoryLimitInBytes: 64n << 20n, cpuShares: 100n } },
  });
  await using plugin = await plug({
    index: "10",
    handlers: {
      synchronize: async ({ containers }) => ({
        update: containers.map(({ id }) => ({
          containerId: id,
          linux: { resources: { cpu: { shares: { value: 200n } } } },
        })),
      }),
    },
  });
  const { pods, containers } = await plugin.synchronized;
  assert.ok(pods.some(({ id, ips }) => id === podSandboxId && ips.length === 1));
  const told = containers.find(({ id }) => id === containerId);
  assert.equal(told?.linux?.resources?.memory?.limit?.value, 64n << 20n);
  assert.deepEqual(told?.args.slice(0, 2), ["sh", "-c"]);
  const { failed } = await plugin.runtime.updateContainers({
    update: [
      { containerId, linux: { resources: { memory: { limit: { value: 96n << 20n } } } } },
      { containerId: "f".repeat(64), linux: { resources: {} } },
      { containerId: "e".repeat(64), linux: { resources: {} }, ignoreFailure: true },
    ],
  });
  assert.deepEqual(
    failed.map(({ containerId: id }) => id),
    ["f".repeat(64)],
  );
  const { status } = await node.runtime.containerStatus({ containerId });
  assert.equal(status?.resources?.linux?.memoryLimitInBytes, 96n << 20n);
  assert.equal(status?.resources?.linux?.cpuShares, 200n);
  await plugin.runtime.updateContainers({ evict: [{ containerId, reason: "test" }] });
  await node.reached(containerId, ContainerState.CONTAINER_EXITED);
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("a plugin changes what an update sets, and other containers with it", async () => {
  const podSandboxId = await pod();
  const other = await node.run(podSandboxId, "sleep 1000");
  await using plugin = await plug({
    index: "10",
    events: [Event.UPDATE_CONTAINER],
    handlers: {
      async updateContainer({ container, linuxResources }) {
        assert.equal(linuxResources?.cpu?.shares?.value, 300n);
        return {
          update: [
            { containerId: container?.id ?? "", linux: { resources: { cpu: { shares: { value: 400n } } } } },
            { containerId: other, linux: { resources: { cpu: { shares: { value: 50n } } } } },
          ],
        };
      },
    },
  });
  await plugin.synchronized;
  const containerId = await node.run(podSandboxId, "sleep 1000");
  await node.runtime.updateContainerResources({ containerId, linux: { cpuShares: 300n } });
  const shares = async (id: string) =>
    (await node.runtime.containerStatus({ containerId: id })).status?.resources?.linux?.cpuShares;
  assert.deepEqual([await shares(containerId), await shares(other)], [400n, 50n]);
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("what a plugin asks of a living container that cannot be changed is refused by name", async () => {
  const podSandboxId = await pod();
  const containerId = await node.run(podSandboxId, "sleep 1000");
  const resources = { memory: { swappiness: { value: 10n } }, cpu: { shares: { value: 400n } } };
  const update = [{ containerId, linux: { resources } }];
  await using plugin = await plug({
    index: "10",
    events: [Event.UPDATE_CONTAINER],
    handlers: { updateContainer: async () => ({ update }) },
  });
  await plugin.synchronized;
  await assert.rejects(
    node.runtime.updateContainerResources({ containerId, linux: { cpuShares: 300n } }),
    (error) => isTripodError(error, "unimplemented") && /10-test asks .* memory swappiness:/.test(error.message),
  );
  assert.equal((await plugin.runtime.updateContainers({ update })).failed[0]?.containerId, containerId);
  const { status } = await node.runtime.containerStatus({ containerId });
  assert.equal(status?.resources?.linux?.cpuShares ?? 0n, 0n);
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("a plugin cannot move a container out of its sandbox's cgroup", async () => {
  await using plugin = await plug({
    index: "10",
    events: [Event.CREATE_CONTAINER],
    handlers: { createContainer: async () => ({ adjust: { linux: { cgroupsPath: "/elsewhere" } } }) },
  });
  await plugin.synchronized;
  const podSandboxId = await pod();
  await assert.rejects(
    node.create(podSandboxId, "true"),
    (error) =>
      isTripodError(error, "unimplemented") && /10-test asks for cgroupsPath "\/elsewhere"/.test(error.message),
  );
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("a plugin takes a resctrl group away that a CDI device has asked for", async () => {
  const folder = join(node.layout.etcDir, "cdi");
  mkdirSync(folder, { recursive: true });
  const device = { name: "one", containerEdits: { intelRdt: { closID: "tripod-test" } } };
  writeFileSync(
    join(folder, "rdt.json"),
    JSON.stringify({ cdiVersion: "0.7.0", kind: "test.org/rdt", devices: [device] }),
  );
  const change = { CDIDevices: [{ name: "test.org/rdt=one" }] };
  const podSandboxId = await pod();
  const groupOf = (containerId: string): unknown => {
    const text = readFileSync(join(node.layout.containersDir, containerId, "config.json"), "utf8");
    return (JSON.parse(text) as { linux: { intelRdt?: unknown } }).linux.intelRdt; // as the server writes it
  };
  assert.deepEqual(groupOf(await node.create(podSandboxId, "true", change)), { closID: "tripod-test" });
  await using plugin = await plug({
    index: "10",
    events: [Event.CREATE_CONTAINER],
    handlers: { createContainer: async () => ({ adjust: { linux: { rdt: { remove: true } } } }) },
  });
  await plugin.synchronized;
  assert.equal(groupOf(await node.create(podSandboxId, "true", change)), undefined);
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("a plugin that hangs is dropped, one that dies is too, and the runtime goes on", async () => {
  await using hangs = await plug({
    index: "10",
    handlers: { createContainer: () => new Promise(() => {}) },
    events: [Event.CREATE_CONTAINER],
  });
  const dies = await plug({
    index: "20",
    events: [Event.CREATE_CONTAINER],
    handlers: {
      async createContainer() {
        await dies[Symbol.asyncDispose]();
        return {};
      },
    },
  });
  await Promise.all([hangs.synchronized, dies.synchronized]);
  const podSandboxId = await pod();
  const containerId = await node.run(podSandboxId, "echo lives");
  assert.deepEqual(await output(containerId), ["lives"]);
  await Promise.all([hangs.closed, dies.closed]);
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("who connects and registers wrongly, late, or speaks nonsense is dropped", async () => {
  await assert.rejects(plug({ index: "1" }), (error) => isTripodError(error, "invalid", "unavailable"));
  await assert.rejects(plug({ index: "10", name: "a/b" }), (error) => isTripodError(error, "invalid", "unavailable"));
  for (const bytes of [
    "",
    "GET / HTTP/1.1\r\n\r\n",
    "\0\0\0\x02\xff\xff\xff\xff",
    "\0\0\0\x02\0\0\0\x0a\0\xff\xff\xff\0\0\0\x01\x01\0",
  ]) {
    const peer = connect(socket);
    await once(peer, "connect");
    peer.resume();
    if (bytes !== "") peer.write(Buffer.from(bytes, "latin1"));
    await once(peer, "close");
  }
  const podSandboxId = await pod();
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("a state of more than a message holds comes in parts", async () => {
  const annotations = { large: "x".repeat(900_000) };
  const ids: string[] = [];
  for (let n = 0; n < 5; n += 1) {
    const config = node.sandboxConfig({ annotations });
    ids.push((await node.runtime.runPodSandbox({ config })).podSandboxId);
  }
  await using plugin = await plug({ index: "10", events: [Event.CREATE_CONTAINER] });
  const { pods, parts } = await plugin.synchronized;
  assert.deepEqual([pods.length, parts > 1], [5, true]);
  await Promise.all(ids.map((podSandboxId) => node.runtime.removePodSandbox({ podSandboxId })));
  assert.deepEqual(node.leaks(), []);
});

test("an installed plugin is started with its configuration, and goes with the server", async () => {
  const dir = join(node.layout.root ?? "", "installed");
  mkdirSync(join(dir, "conf.d"), { recursive: true });
  const program = join(dir, "30-env");
  const main = join(import.meta.dirname, "testing/plugin-main.ts");
  writeFileSync(program, `#!/bin/sh\nexec ${process.execPath} ${main}\n`);
  chmodSync(program, 0o755);
  writeFileSync(join(dir, "conf.d/env.conf"), "configured");
  writeFileSync(join(dir, "README"), "no plugin");
  await node.restart({ nri: { pluginDir: dir, pluginConfigDir: join(dir, "conf.d"), registrationTimeoutMs: 30_000 } });
  const podSandboxId = await pod();
  const containerId = await node.run(podSandboxId, "echo $FROM_PLUGIN");
  assert.deepEqual(await output(containerId), ["30-env: configured"]);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.ok(existsSync(join(node.layout.runDir, "nri/30-env")));
  await node.restart({ nri: { disable: true } });
  assert.ok(!existsSync(join(node.layout.runDir, "nri/30-env")));
  assert.ok(!existsSync(socket));
});
