import assert from "node:assert/strict";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ContainerState, NamespaceMode, PodSandboxState } from "@tripod/api/cri";
import { isNodeError } from "@tripod/base";
import { killCgroup, openRtnetlink, waitForExit } from "@tripod/linux";
import { loopFilesLeft, unmountBelow } from "@tripod/testing";
import { supervisedProcesses } from "./testing/supervised-processes.ts";
import { startTestNode, type TestNode } from "./testing/test-node.ts";

let node: TestNode;
before(async () => {
  node = await startTestNode({ ownProcess: true, config: { writableLayer: { allowAnnotation: true } } });
});
after(async () => {
  await node?.[Symbol.asyncDispose]();
});

/** Ends every process of the node, and takes away its mounts and network devices, as a restart of the machine does. */
async function loseMachine(): Promise<void> {
  await node.kill();
  const root = node.layout.root ?? "";
  const supervisors = supervisedProcesses(root);
  for (const { pid } of supervisors) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if (!isNodeError(error, "ESRCH")) throw error;
    }
  }
  await Promise.all(supervisors.map(({ pid }) => waitForExit(pid)));
  await killCgroup(node.layout.cgroupParent);
  unmountBelow(root);
  using rtnetlink = openRtnetlink();
  for (const { index, kind } of rtnetlink.links())
    if (kind === "veth" || kind === "bridge") rtnetlink.linkDelete(index);
}

/** Starts the server under a kernel that calls its life by another name. */
async function startAfterBoot(): Promise<void> {
  const bootId = join(node.layout.root ?? "", "boot-id");
  writeFileSync(bootId, "11111111-2222-4333-8444-555555555555\n");
  const bind = `mount --bind ${bootId} /proc/sys/kernel/random/boot_id && exec "$@"`;
  await node.start(undefined, ["unshare", "--mount", "sh", "-c", bind, "sh"]);
}

const addresses = (): string[] =>
  readdirSync(node.layout.cniDataDir, { recursive: true, encoding: "utf8" }).filter((name) =>
    /(^|\/)\d+(\.\d+){3}$/.test(name),
  );

for (const runFolder of ["emptied, as a tmpfs is", "kept, as below a root on a disk"]) {
  test(`after a restart of the node, its run folder ${runFolder}, sandboxes are not ready, containers have ended, all can be removed`, async () => {
    const sandboxes: string[] = [];
    for (const namespaceOptions of [
      {},
      { pid: NamespaceMode.POD },
      { network: NamespaceMode.NODE },
      { network: NamespaceMode.NODE, ipc: NamespaceMode.NODE },
    ]) {
      // The first one's containers have limited root file systems.
      const annotations = sandboxes.length === 0 ? { "max-size.storage.tripod.dev": "8Mi" } : {};
      const config = node.sandboxConfig({ annotations, linux: { securityContext: { namespaceOptions } } });
      const { podSandboxId } = await node.runtime.runPodSandbox({ config });
      sandboxes.push(podSandboxId);
      await node.run(podSandboxId, "sleep 1000");
    }
    const [first = ""] = sandboxes;
    const created = await node.create(first, "sleep 1000");
    const ended = await node.run(first, "exit 5");
    await node.reached(ended, ContainerState.CONTAINER_EXITED);
    assert.equal(addresses().length, 2);

    await loseMachine();
    if (runFolder.startsWith("emptied")) rmSync(node.layout.runDir, { recursive: true });
    await startAfterBoot();

    const { items } = await node.runtime.listPodSandbox({});
    assert.deepEqual(items.map(({ id }) => id).toSorted(), sandboxes.toSorted());
    for (const { id, state } of items) assert.equal(state, PodSandboxState.SANDBOX_NOTREADY, id);
    assert.deepEqual(addresses(), []);
    const { containers } = await node.runtime.listContainers({});
    assert.equal(containers.length, sandboxes.length + 2);
    for (const { id, state } of containers) {
      assert.equal(state, ContainerState.CONTAINER_EXITED);
      const { status } = await node.runtime.containerStatus({ containerId: id });
      if (id === ended) {
        assert.equal(status?.exitCode, 5);
        continue;
      }
      assert.equal(status?.exitCode, 255);
      assert.equal(status.reason, "ContainerStatusUnknown");
      assert.match(status.message, /the node was restarted/);
      assert.ok(status.finishedAt > 0n);
      assert.equal(status.startedAt > 0n, id !== created);
    }
    for (const { id } of containers.slice(0, 2)) await node.runtime.removeContainer({ containerId: id });
    for (const podSandboxId of sandboxes) {
      await node.runtime.stopPodSandbox({ podSandboxId });
      await node.runtime.removePodSandbox({ podSandboxId });
    }
    assert.deepEqual((await node.runtime.listContainers({})).containers, []);
    const root = node.layout.root ?? "-";
    assert.deepEqual(await loopFilesLeft(root), []);
    // New ones work under the new kernel; below its mount namespace nothing is seen from here.
    const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
    await node.run(podSandboxId, "sleep 1000");
    await node.runtime.removePodSandbox({ podSandboxId });
    await node.kill();
    await node.start();
    assert.deepEqual(node.leaks(), []);
    assert.ok(existsSync(node.layout.recordsDir));
  });
}
