import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ContainerState, PodSandboxState } from "@tripod/api/cri";
import { debianProgram, debianPrograms } from "@tripod/testing";
import { startTestNode, type TestNode } from "../testing/test-node.ts";

const criu = debianProgram(debianPrograms.criu);

describe("a server that is killed while it makes a checkpoint, or a container of one", {
  skip: "skip" in criu ? criu.skip : false,
}, () => {
  const dir = mkdtempSync("/tmp/tripod-killer-");
  /** While this file is there, a criu that is to freeze something first kills who started its parent, which is the server. */
  const armed = join(dir, "armed");
  let node: TestNode;
  before(async () => {
    const kills = `if [ "$1" = swrk ] && rm ${armed} 2>/dev/null; then kill -9 $(cut -d' ' -f4 /proc/$PPID/stat); fi`;
    const real = "path" in criu ? criu.path : "";
    writeFileSync(join(dir, "criu"), `#!/bin/sh\n${kills}\nexec ${real} "$@"\n`, { mode: 0o755 });
    node = await startTestNode({ ownProcess: true, config: { criu: join(dir, "criu"), restoreCheckpoints: true } });
  });
  after(async () => {
    await node[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true });
  });

  for (const failpoint of [
    "criu",
    "cri.checkpoint.begun",
    "cri.checkpoint.paused",
    "cri.checkpoint.written",
    "cri.checkpoint.archived",
    "cri.checkpoint-pod.begun",
  ]) {
    test(`killed at ${failpoint}, the container runs on, nothing is left, and the same request succeeds`, async () => {
      await node.kill();
      await node.start(failpoint);
      const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
      const containerId = await node.run(podSandboxId, "sleep 1000");
      const folder = mkdtempSync(join(node.layout.root ?? "", "out-"));
      const location = join(folder, "c.tar");
      const pod = failpoint.includes("pod");
      const request = async (): Promise<unknown> =>
        pod
          ? await node.runtime.checkpointPod({ podSandboxId, containerIds: [containerId], outputPath: folder })
          : await node.runtime.checkpointContainer({ containerId, location });
      if (failpoint === "criu") writeFileSync(armed, "");
      await assert.rejects(request());
      await node.died();
      await node.start();
      assert.deepEqual(readdirSync(folder), []);
      assert.deepEqual(readdirSync(join(node.layout.libDir, "checkpoints")), []);
      const { status } = await node.runtime.containerStatus({ containerId });
      assert.equal(status?.state, ContainerState.CONTAINER_RUNNING);
      assert.equal((await node.runtime.execSync({ containerId, cmd: ["true"], timeout: 60n })).exitCode, 0);
      await request();
      assert.ok(existsSync(pod ? join(folder, "checkpoint") : location));
      await node.runtime.removePodSandbox({ podSandboxId });
      assert.deepEqual(node.leaks(), []);
    });
  }

  for (const failpoint of [
    "cri.container.checkpoint-opened",
    "oci.restored-layer.unpacked",
    "cri.container.restored",
  ]) {
    test(`killed at ${failpoint}, nothing of the restored container is left or runs, and the same request succeeds`, async () => {
      await node.kill();
      await node.start(failpoint);
      const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
      const victim = await node.run(podSandboxId, "echo kept >/kept; sleep 1000");
      const location = join(mkdtempSync(join(node.layout.root ?? "", "out-")), "c.tar");
      await node.runtime.checkpointContainer({ containerId: victim, location });
      await node.runtime.removeContainer({ containerId: victim });
      const before = node.leaks();
      const change = { metadata: { name: "restored", attempt: 0 }, image: { image: location } };
      const starts = failpoint === "cri.container.restored";
      if (starts) await assert.rejects(node.run(podSandboxId, "exit 1", change));
      else await assert.rejects(node.create(podSandboxId, "exit 1", change));
      await node.died();
      await node.start();
      const [found, ...more] = (await node.runtime.listContainers({})).containers;
      assert.deepEqual(more, []);
      assert.equal(found?.state, starts ? ContainerState.CONTAINER_CREATED : undefined);
      if (found === undefined) {
        assert.deepEqual(readdirSync(join(node.layout.libDir, "restored-checkpoints")), []);
        assert.deepEqual(
          node.leaks().filter((leak) => !before.includes(leak) && !leak.startsWith("cgroup")),
          [],
        );
      }
      const containerId = found?.id ?? (await node.create(podSandboxId, "exit 1", change));
      assert.deepEqual(
        node.leaks().filter((leak) => leak.startsWith("process")),
        [],
      );
      await node.runtime.startContainer({ containerId });
      assert.equal((await node.runtime.execSync({ containerId, cmd: ["test", "-e", "/kept"] })).exitCode, 0);
      await node.runtime.removePodSandbox({ podSandboxId });
      assert.deepEqual(readdirSync(join(node.layout.libDir, "restored-checkpoints")), []);
      assert.deepEqual(node.leaks(), []);
    });
  }

  test("killed between a restored Pod and its containers, it is there without any, and can be removed and asked for again", async () => {
    await node.kill();
    await node.start("cri.restore-pod.sandbox-made");
    const first = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
    const metadata = { name: "a", attempt: 0 };
    const victim = await node.run(first.podSandboxId, "echo kept >/kept; sleep 1000", { metadata });
    const checkpointPath = mkdtempSync(join(node.layout.root ?? "", "out-"));
    await node.runtime.checkpointPod({
      podSandboxId: first.podSandboxId,
      containerIds: [victim],
      outputPath: checkpointPath,
    });
    await node.runtime.removePodSandbox({ podSandboxId: first.podSandboxId });
    const containerConfigs = [{ metadata, image: { image: node.image } }];
    const request = { checkpointPath, config: node.sandboxConfig(), containerConfigs };
    await assert.rejects(node.runtime.restorePod(request));
    await node.died();
    await node.start();
    const [left, ...more] = (await node.runtime.listPodSandbox({})).items;
    assert.deepEqual([left?.state, more], [PodSandboxState.SANDBOX_READY, []]);
    assert.deepEqual((await node.runtime.listContainers({})).containers, []);
    await assert.rejects(node.runtime.restorePod(request), { code: "already-exists", message: /remove it/ });
    await node.runtime.removePodSandbox({ podSandboxId: left?.id ?? "" });
    assert.deepEqual(node.leaks(), []);
    const { podSandboxId, restoredContainers } = await node.runtime.restorePod(request);
    const containerId = restoredContainers[0]?.containerId ?? "";
    await node.runtime.startContainer({ containerId });
    assert.equal((await node.runtime.execSync({ containerId, cmd: ["test", "-e", "/kept"] })).exitCode, 0);
    await node.runtime.removePodSandbox({ podSandboxId });
    assert.deepEqual(node.leaks(), []);
  });
});
