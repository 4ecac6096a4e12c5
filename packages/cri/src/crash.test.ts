import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ContainerState, NamespaceMode, PodSandboxState } from "@tripod/api/cri";
import { cgroupStats, loopDevices, processIsRunning, removeNamespace, waitForExit } from "@tripod/linux";
import { loopFilesLeft } from "@tripod/testing";
import { pushBusyboxImage } from "./testing/busybox-image.ts";
import { startTestNode, type SandboxInit, type TestNode } from "./testing/test-node.ts";

let node: TestNode;
before(async () => {
  node = await startTestNode({ ownProcess: true, config: { writableLayer: { allowAnnotation: true } } });
});
after(() => node[Symbol.asyncDispose]());

/** Starts the server armed with a failpoint; should its own recovery run into it, it is started again, as a supervisor would. */
async function arm(failpoint: string): Promise<void> {
  await node.kill();
  for (;;) {
    await node.start(failpoint);
    try {
      await node.runtime.version({}, { timeoutMs: 5000 });
      return;
    } catch {
      await node.died();
    }
  }
}

/** Runs `work`, in the middle of which the server dies, and starts the server again. */
async function crash(work: Promise<unknown>): Promise<void> {
  await assert.rejects(work);
  await node.died();
  await node.start();
}

const sandboxIds = async (): Promise<string[]> => (await node.runtime.listPodSandbox({})).items.map(({ id }) => id);
const containers = async () => (await node.runtime.listContainers({})).containers;
const ids = [{ containerId: 0, hostId: 700_000, length: 65_536 }];
const usernsOptions = { mode: NamespaceMode.POD, uids: ids, gids: ids };
const ownUsers: SandboxInit = {
  linux: { securityContext: { namespaceOptions: { usernsOptions, pid: NamespaceMode.CONTAINER } } },
};
const sharedPid: SandboxInit = { linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.POD } } } };
const limited: SandboxInit = { linux: { resources: { memoryLimitInBytes: 64n << 20n } } };

for (const [failpoint, change] of [
  ["cri.sandbox.recorded"],
  ["cri.sandbox.folder-made"],
  ["linux.namespace.ipc-pinned"],
  ["cri.sandbox.namespaces-made"],
  ["cri.sandbox.cgroup-made", limited],
  ["cni.add.chain-done"],
  ["cri.sandbox.network-added"],
  ["cri.sandbox.init-created", sharedPid],
  ["linux.namespace.user-pinned", ownUsers], // while it is tried whether the machine can
  ["oci.layers.mapped", ownUsers],
  ["linux.namespace.user-pinned@2", ownUsers],
] as const) {
  test(`killed at ${failpoint}, nothing of the sandbox is left, and the same request succeeds`, async () => {
    await arm(failpoint);
    const config = node.sandboxConfig(change);
    await crash(node.runtime.runPodSandbox({ config }));
    assert.deepEqual(await sandboxIds(), []);
    assert.deepEqual(node.leaks(), []);
    const { podSandboxId } = await node.runtime.runPodSandbox({ config });
    await node.runtime.removePodSandbox({ podSandboxId });
    assert.deepEqual(node.leaks(), []);
  });
}

test("killed when a sandbox is ready but unanswered, the repeated request gets that sandbox", async () => {
  await arm("cri.sandbox.ready");
  const config = node.sandboxConfig();
  await crash(node.runtime.runPodSandbox({ config }));
  const ids = await sandboxIds();
  assert.equal(ids.length, 1);
  const { podSandboxId } = await node.runtime.runPodSandbox({ config });
  assert.deepEqual([podSandboxId], ids);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("killed when a sandbox's limits are changed but that is not on record, the repeated request changes them", async () => {
  await arm("cri.sandbox.updated");
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig(limited) });
  const containerId = await node.run(podSandboxId, "sleep 1000");
  const change = { podSandboxId, resources: { memoryLimitInBytes: 48n << 20n } };
  const limit = (): number | undefined => cgroupStats(join(node.layout.cgroupParent, podSandboxId)).memory?.limitBytes;
  assert.equal(limit(), 64 << 20);
  await crash(node.runtime.updatePodSandboxResources(change));
  const { status } = await node.runtime.podSandboxStatus({ podSandboxId });
  assert.equal(status?.state, PodSandboxState.SANDBOX_READY);
  await node.runtime.updatePodSandboxResources(change);
  assert.equal(limit(), 48 << 20);
  assert.equal((await node.runtime.execSync({ containerId, cmd: ["true"] })).exitCode, 0);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

for (const failpoint of [
  "cri.container.recorded",
  "cri.container.rootfs-made",
  "cri.container.spec-written",
  "oci.runtime.supervisor-started",
  "cri.container.runtime-created",
]) {
  test(`killed at ${failpoint}, nothing of the container is left, and its sandbox lives`, async () => {
    await arm(failpoint);
    const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
    const before = node.leaks();
    const change = { metadata: { name: "victim", attempt: 0 } };
    await crash(node.create(podSandboxId, "sleep 1000", change));
    assert.deepEqual(await containers(), []);
    // The sandbox's cgroup may stay, empty; it belongs to the sandbox.
    const left = node.leaks().filter((leak) => !leak.startsWith("cgroup") || leak.split("/").length > 7);
    assert.deepEqual(
      left.filter((leak) => !before.includes(leak)),
      [],
    );
    const containerId = await node.run(podSandboxId, "sleep 1000", change);
    assert.equal((await containers())[0]?.id, containerId);
    await node.runtime.removePodSandbox({ podSandboxId });
    assert.deepEqual(node.leaks(), []);
  });
}

for (const failpoint of [
  "oci.layers.mapped@3", // after a trial, and the overlay that this tries first
  "oci.view.mounted",
  "cri.container.mount-made",
  "cri.container.mounts-copied",
]) {
  test(`killed at ${failpoint}, no mount of the container is left, and the volume keeps its files`, async () => {
    await arm(failpoint);
    const volume = join(node.layout.root ?? "", "volume");
    mkdirSync(volume, { recursive: true });
    writeFileSync(join(volume, "file"), "");
    const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig(ownUsers) });
    const before = node.leaks();
    const change = {
      metadata: { name: "victim", attempt: 0 },
      mounts: [
        { containerPath: "/v", hostPath: volume, uidMappings: ids, gidMappings: ids },
        { containerPath: "/image", image: { image: node.image }, readonly: true },
      ],
    };
    await crash(node.create(podSandboxId, "sleep 1000", change));
    assert.deepEqual(await containers(), []);
    assert.deepEqual(
      node.leaks().filter((leak) => !before.includes(leak) && !leak.startsWith("cgroup")),
      [],
    );
    const containerId = await node.run(podSandboxId, "sleep 1000", change);
    assert.equal((await node.runtime.execSync({ containerId, cmd: ["ls", "/v/file", "/image/bin"] })).exitCode, 0);
    await node.runtime.removePodSandbox({ podSandboxId });
    assert.deepEqual(readdirSync(volume), ["file"]);
    assert.deepEqual(node.leaks(), []);
  });
}

test("a Pod in a user namespace goes on when the server is killed and started again", async () => {
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig(ownUsers) });
  const first = await node.run(podSandboxId, "sleep 1000");
  await node.kill();
  await node.start();
  const second = await node.run(podSandboxId, "sleep 1000");
  for (const containerId of [first, second]) {
    const reply = await node.runtime.execSync({ containerId, cmd: ["cat", "/proc/self/uid_map"] });
    assert.match(Buffer.from(reply.stdout).toString(), /^\s+0\s+700000\s+65536\n$/);
  }
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("a Pod that shares its processes goes on when the server is killed and started again", async () => {
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig(sharedPid) });
  await node.run(podSandboxId, "sleep 4711");
  await node.kill();
  await node.start();
  const containerId = await node.run(podSandboxId, "sleep 1000");
  const { stdout } = await node.runtime.execSync({ containerId, cmd: ["ps"] });
  assert.match(Buffer.from(stdout).toString(), /sleep 4711/);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("what no record knows of, processes and all, is taken away on the next start", async () => {
  const shared = await node.runtime.runPodSandbox({ config: node.sandboxConfig(sharedPid) });
  const running = await node.run(shared.podSandboxId, "sleep 1000");
  await node.create(shared.podSandboxId, "sleep 1000");
  await node.runtime.runPodSandbox({ config: node.sandboxConfig(ownUsers) });
  const bundles = [
    join(node.layout.containersDir, running),
    join(node.layout.sandboxesDir, shared.podSandboxId, "init"),
  ];
  const pids = bundles.flatMap((bundle) =>
    ["pid", "conmon.pid"].map((file) => Number(readFileSync(join(bundle, file), "utf8"))),
  );
  await node.kill();
  for (const file of readdirSync(node.layout.recordsDir)) {
    if (file.startsWith("cri.sqlite")) rmSync(join(node.layout.recordsDir, file));
  }
  await node.start();
  assert.deepEqual(node.leaks(), []);
  assert.deepEqual(
    pids.filter((pid) => processIsRunning(pid)),
    [],
  );
});

test("killed around a start, the container is what the kernel says", async () => {
  await arm("cri.container.starting");
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
  const containerId = await node.create(podSandboxId, "sleep 1000");
  await crash(node.runtime.startContainer({ containerId }));
  assert.equal((await containers())[0]?.state, ContainerState.CONTAINER_CREATED);
  await arm("cri.container.started");
  await crash(node.runtime.startContainer({ containerId }));
  assert.equal((await containers())[0]?.state, ContainerState.CONTAINER_RUNNING);
  assert.equal((await node.runtime.execSync({ containerId, cmd: ["true"] })).exitCode, 0);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("killed when a container is made, changed or ended but nobody was told, it is what was recorded", async () => {
  await arm("cri.container.created");
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig(limited) });
  await crash(node.create(podSandboxId, "sleep 1000"));
  const [made] = await containers();
  assert.equal(made?.state, ContainerState.CONTAINER_CREATED);
  const containerId = made?.id ?? "";
  await node.runtime.startContainer({ containerId });

  await arm("cri.container.updated");
  const change = { containerId, linux: { memoryLimitInBytes: 32n << 20n } };
  const limit = async () =>
    (await node.runtime.containerStatus({ containerId })).status?.resources?.linux?.memoryLimitInBytes;
  await crash(node.runtime.updateContainerResources(change));
  assert.notEqual(await limit(), 32n << 20n);
  await node.runtime.updateContainerResources(change);
  assert.equal(await limit(), 32n << 20n);

  await arm("cri.container.exited");
  await crash(node.runtime.stopContainer({ containerId, timeout: 0n }));
  const { status } = await node.runtime.containerStatus({ containerId });
  assert.equal(status?.state, ContainerState.CONTAINER_EXITED);
  assert.equal(status?.exitCode, 137);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("killed while a command runs by exec, the command ends on the next start and the container does not", async () => {
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
  const containerId = await node.run(podSandboxId, "sleep 1000");
  const running = node.runtime.execSync({ containerId, cmd: ["sh", "-c", "touch /on; sleep 871 & sleep 872"] });
  running.catch(() => {}); // the server dies under it
  while ((await node.runtime.execSync({ containerId, cmd: ["test", "-e", "/on"] })).exitCode !== 0) continue;
  await node.kill();
  await node.start();
  for (;;) {
    const { stdout } = await node.runtime.execSync({ containerId, cmd: ["ps"] });
    if (!/sleep 87/.test(Buffer.from(stdout).toString())) break;
  }
  assert.equal((await containers())[0]?.state, ContainerState.CONTAINER_RUNNING);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

for (const failpoint of [
  "cri.sandbox.stopping",
  "cri.sandbox.containers-killed",
  "cri.sandbox.network-deleted",
  "cri.sandbox.namespaces-removed",
]) {
  test(`killed at ${failpoint}, the stop is finished on the next start`, async () => {
    await arm(failpoint);
    const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
    const containerId = await node.run(podSandboxId, "sleep 1000");
    await crash(node.runtime.stopPodSandbox({ podSandboxId }));
    const { status } = await node.runtime.podSandboxStatus({ podSandboxId });
    assert.equal(status?.state, PodSandboxState.SANDBOX_NOTREADY);
    const container = (await node.runtime.containerStatus({ containerId })).status;
    assert.equal(container?.state, ContainerState.CONTAINER_EXITED);
    assert.equal(container?.exitCode, 137);
    await node.runtime.removePodSandbox({ podSandboxId });
    assert.deepEqual(node.leaks(), []);
  });
}

for (const failpoint of ["oci.writable.disk-made", "oci.writable.disk-mounted", "oci.writable.unmounted"]) {
  test(`killed at ${failpoint}, a container whose root file system is limited leaves no loop device`, async () => {
    await arm(failpoint);
    const annotations = { "max-size.storage.tripod.dev": "8Mi" };
    const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig({ annotations }) });
    const loops = () => loopDevices().filter(({ backingFile }) => backingFile.startsWith(node.layout.root ?? "-"));
    const change = { metadata: { name: "victim", attempt: 0 } };
    if (failpoint === "oci.writable.unmounted") {
      const containerId = await node.run(podSandboxId, "sleep 1000", change);
      assert.equal(loops().length, 1);
      await crash(node.runtime.removeContainer({ containerId }));
    } else await crash(node.create(podSandboxId, "sleep 1000", change));
    assert.deepEqual(await containers(), []);
    assert.deepEqual(await loopFilesLeft(node.layout.root ?? "-"), []);
    await node.run(podSandboxId, "sleep 1000", change);
    await node.runtime.removePodSandbox({ podSandboxId });
    assert.deepEqual(await loopFilesLeft(node.layout.root ?? "-"), []);
    assert.deepEqual(node.leaks(), []);
  });
}

for (const failpoint of [
  "cri.sandbox.removing",
  "cri.container.removing",
  "cri.container.runtime-deleted",
  "cri.container.rootfs-removed",
  "cri.sandbox.folder-removed",
]) {
  test(`killed at ${failpoint}, the removal is finished on the next start`, async () => {
    await arm(failpoint);
    const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
    await node.run(podSandboxId, "sleep 1000");
    await crash(node.runtime.removePodSandbox({ podSandboxId }));
    await node.runtime.removePodSandbox({ podSandboxId });
    assert.deepEqual(await containers(), []);
    assert.deepEqual(node.leaks(), []);
  });
}

test("while the server is dead containers run, log and end; then all of it is known", async () => {
  const config = node.sandboxConfig();
  const { podSandboxId } = await node.runtime.runPodSandbox({ config });
  const ends = await node.run(podSandboxId, "while [ ! -e /go ]; do echo tick; sleep 0.02; done; echo tock; exit 5");
  const stays = await node.run(podSandboxId, "sleep 1000");
  const pidOf = async (containerId: string): Promise<number> => {
    const { info } = await node.runtime.containerStatus({ containerId, verbose: true });
    const parsed: unknown = JSON.parse(info.info ?? "");
    return typeof parsed === "object" && parsed !== null && "pid" in parsed ? Number(parsed.pid) : 0;
  };
  const pids = [await pidOf(ends), await pidOf(stays)];
  const { status } = await node.runtime.containerStatus({ containerId: ends });
  await node.kill();
  // The test asks the container to end through its own root, for nobody else is there to do it.
  const killedAt = BigInt(Date.now()) * 1_000_000n;
  writeFileSync(`/proc/${pids[0]}/root/go`, "");
  await waitForExit(pids[0] ?? 0);
  await node.start();
  const ended = await node.reached(ends, ContainerState.CONTAINER_EXITED);
  assert.equal(ended.exitCode, 5);
  assert.ok(ended.finishedAt > killedAt);
  assert.match(readFileSync(status?.logPath ?? "", "utf8"), /stdout F tock\n$/);
  assert.equal(
    (await node.runtime.containerStatus({ containerId: stays })).status?.state,
    ContainerState.CONTAINER_RUNNING,
  );
  assert.equal(await pidOf(stays), pids[1]);
  assert.equal((await node.runtime.execSync({ containerId: stays, cmd: ["hostname"] })).exitCode, 0);
  await node.runtime.stopContainer({ containerId: stays, timeout: 0n });
  assert.equal((await node.runtime.containerStatus({ containerId: stays })).status?.exitCode, 137);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("a container whose supervisor was killed ends as unknown, and a sandbox whose namespace is gone is not ready", async () => {
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
  const containerId = await node.run(podSandboxId, "sleep 1000");
  const bundle = join(node.layout.containersDir, containerId);
  process.kill(Number(readFileSync(join(bundle, "conmon.pid"), "utf8")), "SIGKILL");
  const status = await node.reached(containerId, ContainerState.CONTAINER_EXITED);
  assert.equal(status.exitCode, 255);
  assert.equal(status.reason, "ContainerStatusUnknown");
  await node.kill();
  removeNamespace(join(node.layout.sandboxesDir, podSandboxId, "ns", "net"));
  await node.start();
  const sandbox = (await node.runtime.podSandboxStatus({ podSandboxId })).status;
  assert.equal(sandbox?.state, PodSandboxState.SANDBOX_NOTREADY);
  await node.runtime.stopPodSandbox({ podSandboxId });
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("killed in the middle of an image's volumes, made or removed, none of them is left", async () => {
  const registry = node.image.split("/")[0] ?? "";
  const image = await pushBusyboxImage(registry, { tag: "volumes", config: { Volumes: { "/home": {}, "/www": {} } } });
  await arm("cri.container.volume-made");
  await node.images.pullImage({ image: { image } });
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
  await crash(node.create(podSandboxId, "sleep 1000", { image: { image } }));
  const volumes = (): string[] => node.leaks().filter((leak) => leak.includes("container-volumes/"));
  assert.deepEqual(volumes(), []);
  await arm("cri.container.volumes-removed");
  const containerId = await node.run(podSandboxId, "sleep 1000", { image: { image } });
  assert.equal(volumes().length, 1);
  await crash(node.runtime.removeContainer({ containerId }));
  assert.deepEqual(await containers(), []);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});
