import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ContainerState } from "@tripod/api/cri";
import { runCommand } from "@tripod/base";
import { debianProgram, debianPrograms } from "@tripod/testing";
import { pushBusyboxImage } from "../testing/busybox-image.ts";
import { startTestNode, type TestNode } from "../testing/test-node.ts";

const criu = debianProgram(debianPrograms.criu);
const tellsApart = !["native", "btrfs"].includes(process.env["TRIPOD_TEST_SNAPSHOTTER"] ?? "");
const options = {
  skip: "skip" in criu ? criu.skip : !tellsApart && "the snapshotter does not tell apart what was written",
};
const config = { restoreCheckpoints: true, ...("path" in criu && { criu: criu.path }) };
let node: TestNode;
before(async () => {
  node = await startTestNode({ config });
});
after(() => node[Symbol.asyncDispose]());

const folderOf = (name: string): string => {
  const folder = join(node.layout.root ?? "", name);
  mkdirSync(folder);
  return folder;
};
const output = async (containerId: string, ...cmd: string[]): Promise<string> =>
  (await node.runtime.execSync({ containerId, cmd })).stdout.toString().trim();
const openedCheckpoints = (): string[] => readdirSync(join(node.layout.libDir, "restored-checkpoints"));

/** Counts in memory and in a file, after having changed its files. */
const counting = "echo kept >/kept; rm /etc/group; n=0; while :; do n=$((n+1)); echo $n >/n; sleep 0.05; done";

test(
  "a container made of a checkpoint goes on where that was once it is started, with its files, and so does one made of its own",
  options,
  async () => {
    const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
    const folder = folderOf("out");
    let containerId = await node.run(podSandboxId, counting);
    while (Number(await output(containerId, "cat", "/n")) < 5);
    for (const round of [1, 2]) {
      const location = join(folder, `${round}.tar`);
      await node.runtime.checkpointContainer({ containerId, location });
      const least = Number(await output(containerId, "cat", "/n"));
      await node.runtime.removeContainer({ containerId });
      // Of the next sandbox, whose namespaces are others.
      const { podSandboxId: next } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
      containerId = await node.create(next, "exit 1", { image: { image: location } });
      const created = (await node.runtime.containerStatus({ containerId })).status;
      assert.equal(created?.state, ContainerState.CONTAINER_CREATED);
      assert.equal(created?.image?.image, node.image);
      await node.runtime.startContainer({ containerId });
      await node.reached(containerId, ContainerState.CONTAINER_RUNNING);
      while (Number(await output(containerId, "cat", "/n")) <= least);
      assert.ok(Number(await output(containerId, "cat", "/n")) < least + 1000);
      assert.equal(await output(containerId, "cat", "/kept"), "kept");
      assert.equal(await output(containerId, "sh", "-c", "ls /etc/group 2>&1 | grep -c 'No such'"), "1");
      const shown = await output(containerId, "readlink", "/proc/1/ns/net", "/proc/self/ns/net");
      assert.equal(new Set(shown.split("\n")).size, 1);
      await assert.rejects(node.runtime.startContainer({ containerId }), { code: "failed-precondition" });
    }
    await node.runtime.stopContainer({ containerId });
    const { status } = await node.runtime.containerStatus({ containerId });
    assert.equal(status?.exitCode, 137);
    for (const { id } of (await node.runtime.listPodSandbox({})).items)
      await node.runtime.removePodSandbox({ podSandboxId: id });
    assert.deepEqual(openedCheckpoints(), []);
    assert.deepEqual(node.leaks(), []);
  },
);

test(
  "a container is made of an image that says it holds a checkpoint, in the namespaces of its Pod",
  options,
  async () => {
    const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
    const location = join(folderOf("packed"), "c.tar");
    const victim = await node.run(podSandboxId, "sleep 1000");
    await node.runtime.checkpointContainer({ containerId: victim, location });
    const image = await pushBusyboxImage(node.image.split("/")[0] ?? "", {
      tag: "frozen",
      config: { Cmd: [] },
      annotations: { "org.criu.checkpoint.container.name": "c" },
      furnish(rootfs) {
        for (const name of readdirSync(rootfs)) rmSync(join(rootfs, name), { recursive: true });
        execFileSync("tar", ["-xf", location, "-C", rootfs]);
      },
    });
    await node.images.pullImage({ image: { image } });
    const containerId = await node.run(podSandboxId, "exit 1", { image: { image } });
    const { status } = await node.runtime.containerStatus({ containerId });
    assert.equal(status?.state, ContainerState.CONTAINER_RUNNING);
    assert.equal(status?.image?.image, node.image);
    for (const kind of ["net", "ipc", "uts"]) {
      const path = `/proc/1/ns/${kind}`;
      const own = await output(containerId, "readlink", path);
      assert.match(own, /\[\d+\]$/);
      assert.equal(own, await output(victim, "readlink", path));
    }
    await node.images.removeImage({ image: { image } });
    await node.runtime.removePodSandbox({ podSandboxId });
    assert.deepEqual(node.leaks(), []);
  },
);

test(
  "one that is not started is stopped and removed; a hostile, a broken and a foreign archive are refused; nothing is left",
  options,
  async () => {
    const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
    const before = node.leaks();
    const folder = folderOf("hostile");
    const location = join(folder, "good.tar");
    const victim = await node.run(podSandboxId, "sleep 1000", {
      mounts: [{ containerPath: "/host", hostPath: folder }],
    });
    await node.runtime.checkpointContainer({ containerId: victim, location });
    await node.runtime.removeContainer({ containerId: victim });
    const make = (path: string) => node.create(podSandboxId, "exit 1", { image: { image: path } });
    await assert.rejects(make(location), { code: "failed-precondition", message: /had mounts on \/host/ });
    await assert.rejects(make(join(folder, "absent.tar")), { code: "not-found" });
    const changed = async (name: string, change: (content: string) => void): Promise<string> => {
      const content = folderOf(`hostile/${name}`);
      await runCommand("tar", ["-xf", location, "-C", content]);
      change(content);
      await runCommand("tar", ["-cf", join(folder, `${name}.tar`), "-C", content, "."]);
      rmSync(content, { recursive: true });
      return join(folder, `${name}.tar`);
    };
    const replace = (file: string) => (content: string) => {
      rmSync(join(content, file), { recursive: true });
      symlinkSync("/etc/passwd", join(content, file));
    };
    const rows: [string, (content: string) => void, string, RegExp][] = [
      ["linked-config", replace("config.dump"), "invalid", /config.dump is no plain file/],
      ["linked-diff", replace("rootfs-diff.tar"), "invalid", /rootfs-diff.tar is no plain file/],
      ["linked-image", replace("checkpoint/inventory.img"), "invalid", /inventory.img is no plain file/],
      ["linked-images", replace("checkpoint"), "invalid", /checkpoint is no folder/],
      ["no-spec", (content) => rmSync(join(content, "spec.dump")), "invalid", /spec.dump/],
      ["no-json", (content) => writeFileSync(join(content, "config.dump"), "{"), "invalid", /config.dump/],
      ["strange", (content) => writeFileSync(join(content, "deleted.files"), "[7]"), "invalid", /deleted.files/],
      [
        "other-image",
        (content) => writeFileSync(join(content, "config.dump"), '{"rootfsImage":"sha256:77"}'),
        "not-found",
        /77/,
      ],
    ];
    for (const [name, change, code, message] of rows)
      await assert.rejects(make(await changed(name, change)), { code, message }, name);
    // Its processes are found to be none only when they are to go on: it can be asked for again, stopped, and removed.
    const mounts = [{ containerPath: "/host", hostPath: folder }];
    const empty = await changed("no-processes", (content) =>
      writeFileSync(join(content, "checkpoint/inventory.img"), ""),
    );
    const containerId = await node.create(podSandboxId, "exit 1", { image: { image: empty }, mounts });
    const { runtime } = node;
    await assert.rejects(runtime.startContainer({ containerId }), { code: "failed-precondition" });
    assert.equal((await runtime.containerStatus({ containerId })).status?.state, ContainerState.CONTAINER_CREATED);
    await runtime.stopContainer({ containerId, timeout: 1000n });
    assert.equal((await runtime.containerStatus({ containerId })).status?.exitCode, 137);
    await runtime.removeContainer({ containerId });
    assert.deepEqual(openedCheckpoints(), []);
    assert.deepEqual(
      node.leaks().filter((leak) => !before.includes(leak) && !leak.startsWith("cgroup")),
      [],
    );
    await runtime.removePodSandbox({ podSandboxId });
    assert.deepEqual(node.leaks(), []);
  },
);

test("checkpoints are restored only where the operator allows it", options, async () => {
  await node.restart({ ...config, restoreCheckpoints: false });
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
  const made = node.create(podSandboxId, "exit 1", { image: { image: "/tmp/any.tar" } });
  await assert.rejects(made, { code: "failed-precondition", message: /cri\.restoreCheckpoints/ });
  await node.runtime.removePodSandbox({ podSandboxId });
  await node.restart(config);
});

test("a Pod is restored whole or not at all, its containers created and not yet running", options, async () => {
  const { runtime } = node;
  const first = await runtime.runPodSandbox({ config: node.sandboxConfig() });
  const containerIds: string[] = [];
  for (const name of ["a", "b"]) {
    const script = `echo ${name} >/name; sleep 1000`;
    containerIds.push(await node.run(first.podSandboxId, script, { metadata: { name, attempt: 0 } }));
  }
  const checkpointPath = folderOf("pod");
  await runtime.checkpointPod({ podSandboxId: first.podSandboxId, containerIds, outputPath: checkpointPath });
  await runtime.removePodSandbox({ podSandboxId: first.podSandboxId });
  const image = { image: node.image };
  const configs = (...names: string[]) => names.map((name) => ({ metadata: { name, attempt: 0 }, image }));
  const request = { checkpointPath, config: node.sandboxConfig(), containerConfigs: configs("b", "a") };
  const refusals: [object, string, RegExp][] = [
    [{ containerConfigs: configs("a") }, "invalid", /has the containers a, b/],
    [{ containerConfigs: [] }, "invalid", /asked for are none/],
    [{ containerConfigs: configs("a", "a") }, "invalid", /asked for are a, a/],
    [{ options: { x: "y" } }, "invalid", /unknown option x/],
    [{ checkpointPath: "/proc" }, "invalid", /no checkpoint/],
    [{ runtimeHandler: "none" }, "invalid", /none/],
  ];
  for (const [change, code, message] of refusals)
    await assert.rejects(runtime.restorePod({ ...request, ...change }), { code, message });
  const [broken = "", ...rest] = request.containerConfigs;
  const unmade = {
    ...request,
    containerConfigs: [{ ...Object(broken), mounts: [{ hostPath: "x", containerPath: "/x" }] }, ...rest],
  };
  await assert.rejects(runtime.restorePod(unmade), { code: "invalid" });
  assert.deepEqual((await runtime.listPodSandbox({})).items, []);
  assert.deepEqual(node.leaks(), []);
  const { podSandboxId, restoredContainers } = await runtime.restorePod(request);
  assert.deepEqual(
    restoredContainers.map(({ name }) => name),
    ["b", "a"],
  );
  for (const { name, containerId } of restoredContainers) {
    const { status } = await runtime.containerStatus({ containerId });
    assert.equal(status?.state, ContainerState.CONTAINER_CREATED);
    await runtime.startContainer({ containerId });
    assert.equal(await output(containerId, "cat", "/name"), name);
  }
  await assert.rejects(runtime.restorePod(request), { code: "already-exists" });
  await runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});
