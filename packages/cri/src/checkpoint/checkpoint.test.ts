import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { runCommand } from "@tripod/base";
import { debianProgram, debianPrograms } from "@tripod/testing";
import { startTestNode, type TestNode } from "../testing/test-node.ts";

const criu = debianProgram(debianPrograms.criu);
const tellsApart = !["native", "btrfs"].includes(process.env["TRIPOD_TEST_SNAPSHOTTER"] ?? "");
const options = {
  skip: "skip" in criu ? criu.skip : !tellsApart && "the snapshotter does not tell apart what was written",
};
let node: TestNode;
before(async () => {
  node = await startTestNode({ config: { ...("path" in criu && { criu: criu.path }) } });
});
after(() => node[Symbol.asyncDispose]());

/** A container that counts in memory, and what it has counted. */
const counting = "echo kept >/kept; rm /etc/group; n=0; while :; do n=$((n+1)); echo $n >/tmp/n; sleep 0.05; done";
const counted = async (containerId: string): Promise<number> =>
  Number((await node.runtime.execSync({ containerId, cmd: ["cat", "/tmp/n"] })).stdout.toString());
async function countsOn(containerId: string): Promise<void> {
  const before = await counted(containerId);
  while ((await counted(containerId)) <= before);
}

test(
  "a container's checkpoint is a tar of its processes, of what it wrote and deleted, and of what it was; it goes on",
  options,
  async () => {
    const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
    const containerId = await node.run(podSandboxId, counting, { metadata: { name: "counter", attempt: 0 } });
    const folder = join(node.layout.root ?? "", "out");
    mkdirSync(folder);
    const location = join(folder, "c.tar");
    while ((await node.runtime.execSync({ containerId, cmd: ["test", "-s", "/tmp/n"] })).exitCode !== 0);
    await node.runtime.checkpointContainer({ containerId, location });
    assert.deepEqual(readdirSync(folder), ["c.tar"]);
    const into = join(folder, "x");
    mkdirSync(into);
    await runCommand("tar", ["-xf", location, "-C", into]);
    const names = [
      "checkpoint",
      "config.dump",
      "container.log",
      "deleted.files",
      "dump.log",
      "rootfs-diff.tar",
      "spec.dump",
    ];
    assert.deepEqual(readdirSync(into).toSorted(), names);
    assert.ok(readdirSync(join(into, "checkpoint")).includes("inventory.img"));
    const json = (name: string): unknown => JSON.parse(readFileSync(join(into, name), "utf8"));
    assert.deepEqual(json("deleted.files"), ["/etc/group"]);
    const { id, name, rootfsImageName } = json("config.dump") as Record<string, string>;
    assert.deepEqual([id, name], [containerId, "counter"]);
    assert.match(rootfsImageName ?? "", /busybox/);
    const { annotations } = json("spec.dump") as { annotations: Record<string, string> };
    assert.equal(annotations["io.kubernetes.cri.container-name"], "counter");
    const { stdout } = await runCommand("tar", ["-tf", join(into, "rootfs-diff.tar")]);
    assert.match(stdout.toString(), /^\.\/kept$/m);
    assert.doesNotMatch(stdout.toString(), /group/);
    await countsOn(containerId);
    assert.deepEqual(readdirSync(join(node.layout.libDir, "checkpoints")), []);
    await node.runtime.removePodSandbox({ podSandboxId });
    assert.deepEqual(node.leaks(), []);
  },
);

test("a Pod's checkpoint holds all running containers, which were paused together and go on", options, async () => {
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
  const containerIds = [await node.run(podSandboxId, counting), await node.run(podSandboxId, counting)];
  const outputPath = join(node.layout.root ?? "", "pod");
  mkdirSync(outputPath);
  const request = { podSandboxId, outputPath, containerIds };
  await assert.rejects(node.runtime.checkpointPod({ ...request, containerIds: [] }), { code: "invalid" });
  const [first = "", second = ""] = containerIds;
  await assert.rejects(node.runtime.checkpointPod({ ...request, containerIds: [first] }), /runs, too/);
  await assert.rejects(node.runtime.checkpointPod({ ...request, containerIds: [first, first] }), /twice/);
  await assert.rejects(node.runtime.checkpointPod({ ...request, options: { a: "b" } }), /unknown option a/);
  assert.deepEqual(readdirSync(outputPath), []);
  await node.runtime.checkpointPod(request);
  const expected = [`${first}.tar`, `${second}.tar`, "pod.json"].toSorted();
  assert.deepEqual(readdirSync(join(outputPath, "checkpoint")).toSorted(), expected);
  for (const id of containerIds) await countsOn(id);
  await assert.rejects(node.runtime.checkpointPod(request), /is not empty/);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("what cannot be checkpointed is refused with the reason, and nothing is left", async () => {
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
  const containerId = await node.create(podSandboxId, "sleep 1000");
  const folder = join(node.layout.root ?? "", "refused");
  mkdirSync(folder);
  const location = join(folder, "c.tar");
  const { runtime } = node;
  await assert.rejects(runtime.checkpointContainer({ containerId, location }), { code: "failed-precondition" });
  await runtime.startContainer({ containerId });
  if ("path" in criu) {
    for (const bad of ["", "relative", folder, join(folder, "none/c.tar")])
      await assert.rejects(runtime.checkpointContainer({ containerId, location: bad }), { code: "invalid" });
  }
  await node.restart({ criu: join(folder, "absent") });
  const refusal = { code: "failed-precondition", message: /criu is not installed/ };
  await assert.rejects(runtime.checkpointContainer({ containerId, location }), refusal);
  const pod = { podSandboxId, containerIds: [containerId], outputPath: folder };
  await assert.rejects(runtime.checkpointPod(pod), refusal);
  // One that breaks off: what it had begun is not there.
  const program = join(folder, "criu");
  writeFileSync(program, "#!/bin/sh\n[ $1 = check ]\n", { mode: 0o755 });
  await node.restart({ criu: program });
  await assert.rejects(runtime.checkpointContainer({ containerId, location }), { code: "failed-precondition" });
  await assert.rejects(runtime.checkpointPod({ ...pod, outputPath: join(folder, "empty") }), { code: "invalid" });
  assert.deepEqual(readdirSync(folder), ["criu"]);
  assert.equal((await runtime.execSync({ containerId, cmd: ["true"] })).exitCode, 0);
  assert.equal(existsSync(location), false);
  await runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});
