import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { notImplemented, topic } from "../suite/spec.ts";
import { refused, type World } from "../suite/world.ts";

const MiB = 1n << 20n;
const isV2 = existsSync("/sys/fs/cgroup/cgroup.controllers");

/** The limits that the container's own cgroup shows to it. */
async function limits(world: World, id: string): Promise<{ memory: string; cpu: string; quota: string }> {
  const read = (v1: string, v2: string): Promise<string> => world.exec(id, "cat", `/sys/fs/cgroup/${isV2 ? v2 : v1}`);
  const weight = await read("cpu/cpu.shares", "cpu.weight");
  const quota = await read("cpu/cpu.cfs_quota_us", "cpu.max");
  return {
    memory: await read("memory/memory.limit_in_bytes", "memory.max"),
    cpu: weight,
    quota: quota.split(" ")[0] ?? "",
  };
}

const weightOf = (shares: number): string =>
  isV2 ? String(1 + Math.floor(((shares - 2) * 9999) / 262_142)) : String(shares);

export const resources = topic("resources", {
  async "memory limit, CPU shares and quota are the cgroup's"(world) {
    const asked = { memoryLimitInBytes: 64n * MiB, cpuShares: 512n, cpuPeriod: 100_000n, cpuQuota: 50_000n };
    const id = await world.run(await world.pod(), { linux: { resources: asked } });
    const found = await limits(world, id);
    assert.equal(found.memory, String(64n * MiB));
    assert.equal(found.quota, "50000");
    if (!isV2) assert.equal(found.cpu, weightOf(512));
    else assert.notEqual(found.cpu, "100");
  },
  async "a CPU set is what the container may run on"(world) {
    const id = await world.run(await world.pod(), { linux: { resources: { cpusetCpus: "0" } } });
    assert.match(await world.exec(id, "grep", "Cpus_allowed_list", "/proc/self/status"), /\s0$/);
  },
  async "the OOM score adjustment is the process's"(world) {
    const id = await world.run(await world.pod(), { linux: { resources: { oomScoreAdj: 900n } } });
    assert.equal(await world.exec(id, "cat", "/proc/1/oom_score_adj"), "900");
  },
  async "an OOM score adjustment that the node may not set does not keep a container from running"(world) {
    const id = await world.run(await world.pod(), { linux: { resources: { oomScoreAdj: -998n } } });
    assert.ok(Number(await world.exec(id, "cat", "/proc/1/oom_score_adj")) <= 0);
  },
  async "the status tells the resources"(world) {
    const asked = { memoryLimitInBytes: 64n * MiB, cpuShares: 512n };
    const { resources: found } = await world.status(
      await world.create(await world.pod(), { linux: { resources: asked } }),
    );
    if (found?.linux === undefined) notImplemented("ContainerStatus has no resources");
    assert.deepEqual([found.linux.memoryLimitInBytes, found.linux.cpuShares], [64n * MiB, 512n]);
  },
  async "UpdateContainerResources changes a running container, and only what it names"(world) {
    const asked = { memoryLimitInBytes: 64n * MiB, cpuShares: 512n };
    const containerId = await world.run(await world.pod(), { linux: { resources: asked } });
    await world.runtime.updateContainerResources({ containerId, linux: { memoryLimitInBytes: 96n * MiB } });
    const found = await limits(world, containerId);
    assert.equal(found.memory, String(96n * MiB));
    if (!isV2) assert.equal(found.cpu, "512");
  },
  async "UpdateContainerResources is seen in the status"(world) {
    const containerId = await world.run(await world.pod(), { linux: { resources: { memoryLimitInBytes: 64n * MiB } } });
    await world.runtime.updateContainerResources({
      containerId,
      linux: { memoryLimitInBytes: 96n * MiB, cpuShares: 256n },
    });
    const found = (await world.status(containerId)).resources?.linux;
    if (found === undefined) notImplemented("ContainerStatus has no resources");
    assert.deepEqual([found.memoryLimitInBytes, found.cpuShares], [96n * MiB, 256n]);
  },
  async "UpdateContainerResources of a created container holds once it is started"(world) {
    const containerId = await world.create(await world.pod(), {
      linux: { resources: { memoryLimitInBytes: 64n * MiB } },
    });
    await world.runtime.updateContainerResources({ containerId, linux: { memoryLimitInBytes: 96n * MiB } });
    await world.runtime.startContainer({ containerId });
    assert.equal((await limits(world, containerId)).memory, String(96n * MiB));
  },
  async "UpdateContainerResources that the kernel refuses is an error, and changes nothing"(world) {
    const containerId = await world.run(await world.pod(), { linux: { resources: { memoryLimitInBytes: 64n * MiB } } });
    await refused(world.runtime.updateContainerResources({ containerId, linux: { cpusetCpus: "4095" } }));
    assert.equal((await limits(world, containerId)).memory, String(64n * MiB));
    await world.exec(containerId, "true");
  },
  async "UpdatePodSandboxResources is accepted for a sandbox, and NOT_FOUND for none"(world) {
    const { id } = await world.sandbox();
    await world.runtime.updatePodSandboxResources({
      podSandboxId: id,
      resources: { cpuShares: 512n, memoryLimitInBytes: 256n * MiB },
    });
    await refused(
      world.runtime.updatePodSandboxResources({ podSandboxId: world.unique("nothing"), resources: {} }),
      "not-found",
    );
  },
});
