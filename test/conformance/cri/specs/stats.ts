import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import type { ContainerStats, PodSandboxStats } from "@tripod/api/cri";
import { eventually } from "../suite/eventually.ts";
import { notImplemented, skip, topic } from "../suite/spec.ts";
import { refused, type World } from "../suite/world.ts";

type StatsFilter = NonNullable<Parameters<World["runtime"]["listContainerStats"]>[0]["filter"]>;

const containersIn = async (world: World, filter: StatsFilter): Promise<string[]> =>
  (await world.runtime.listContainerStats({ filter })).stats.map(({ attributes }) => attributes?.id ?? "").toSorted();

async function statsOf(world: World, containerId: string): Promise<ContainerStats> {
  const { stats } = await world.runtime.containerStats({ containerId });
  return stats ?? assert.fail("ContainerStats answers without statistics");
}

async function sandboxStatsOf(world: World, podSandboxId: string): Promise<PodSandboxStats> {
  const { stats } = await world.runtime.podSandboxStats({ podSandboxId });
  return stats ?? assert.fail("PodSandboxStats answers without statistics");
}

export const stats = topic("statistics", {
  async "a container's statistics name it and tell CPU, memory and writable layer"(world) {
    const labels = { which: world.unique("stats") };
    const annotations = { note: "kept" };
    const config = world.containerConfig({ labels, annotations });
    const id = await world.run(await world.pod(), config);
    const { attributes, cpu, memory, writableLayer } = await statsOf(world, id);
    assert.equal(attributes?.id, id);
    assert.equal(attributes?.metadata?.name, config.metadata?.name);
    assert.deepEqual({ ...attributes?.labels }, labels);
    assert.deepEqual({ ...attributes?.annotations }, annotations);
    assert.ok((cpu?.usageCoreNanoSeconds?.value ?? 0n) > 0n, "no CPU time");
    assert.ok((memory?.workingSetBytes?.value ?? 0n) > 0n, "no memory");
    const now = BigInt(Date.now()) * 1_000_000n;
    for (const [what, timestamp] of [
      ["cpu", cpu?.timestamp],
      ["memory", memory?.timestamp],
    ] as const)
      assert.ok(
        (timestamp ?? 0n) > now - 60_000_000_000n && (timestamp ?? 0n) < now + 60_000_000_000n,
        `${what} is of ${timestamp}`,
      );
    assert.ok(writableLayer !== undefined, "no writable layer");
    assert.notEqual(writableLayer.fsId?.mountpoint ?? "", "");
  },
  async "CPU time and the writable layer grow with what the container does"(world) {
    const id = await world.run(await world.pod());
    const before = await statsOf(world, id);
    await world.exec(
      id,
      "sh",
      "-c",
      "head -c 3000000 /dev/urandom >/grown; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done",
    );
    await eventually("the statistics have grown", async () => {
      const after = await statsOf(world, id);
      const cpu = (of: ContainerStats) => of.cpu?.usageCoreNanoSeconds?.value ?? 0n;
      const bytes = (of: ContainerStats) => of.writableLayer?.usedBytes?.value ?? 0n;
      return cpu(after) > cpu(before) && bytes(after) >= bytes(before) + 3_000_000n ? true : undefined;
    });
  },
  async "memory that a container holds is counted"(world) {
    const script = "x=$(head -c 8000000 /dev/zero | tr '\\0' x); echo held; while :; do sleep 1; done";
    const id = await world.shell(await world.pod(), script);
    await eventually("8 MB are counted", async () => {
      const { memory } = await statsOf(world, id);
      return (memory?.workingSetBytes?.value ?? 0n) > 8_000_000n ? true : undefined;
    });
  },
  async "the statistics of an unknown container are refused"(world) {
    await refused(world.runtime.containerStats({ containerId: world.unique("nothing") }), "not-found");
  },
  async "running containers are listed, by nothing, id, sandbox, labels, and all of them"(world) {
    const which = world.unique("stats");
    const sandbox = await world.sandbox();
    const first = await world.run(sandbox, { labels: { which, is: "first" } });
    const second = await world.run(sandbox, { labels: { which, is: "second" } });
    const elsewhere = await world.run(await world.pod(), { labels: { which } });
    const all = await containersIn(world, {});
    for (const id of [first, second, elsewhere]) assert.ok(all.includes(id));
    const unfiltered = (await world.runtime.listContainerStats({})).stats.map(({ attributes }) => attributes?.id);
    for (const id of [first, second, elsewhere]) assert.ok(unfiltered.includes(id));
    assert.deepEqual(await containersIn(world, { id: first }), [first]);
    assert.deepEqual(await containersIn(world, { podSandboxId: sandbox.id }), [first, second].toSorted());
    assert.deepEqual(await containersIn(world, { labelSelector: { which } }), [first, second, elsewhere].toSorted());
    assert.deepEqual(await containersIn(world, { podSandboxId: sandbox.id, labelSelector: { which, is: "second" } }), [
      second,
    ]);
    assert.deepEqual(await containersIn(world, { id: first, labelSelector: { is: "second" } }), []);
  },
  async "a container that has ended is not among the running ones"(world) {
    const labelSelector = { which: world.unique("stats") };
    await world.exited(await world.shell(await world.pod(), "exit 0", { labels: labelSelector }));
    const { stats: listed } = await world.runtime.listContainerStats({ filter: { labelSelector } });
    assert.deepEqual(
      listed.filter(({ cpu }) => (cpu?.usageCoreNanoSeconds?.value ?? 0n) > 0n),
      [],
    );
  },
  async "a sandbox's statistics name it and tell CPU, memory, network, processes and its containers"(world) {
    const labels = { which: world.unique("stats") };
    const sandbox = await world.sandbox({ labels });
    const id = await world.run(sandbox);
    const { attributes, linux } = await sandboxStatsOf(world, sandbox.id);
    assert.equal(attributes?.id, sandbox.id);
    assert.deepEqual({ ...attributes?.labels }, labels);
    assert.ok((linux?.cpu?.usageCoreNanoSeconds?.value ?? 0n) > 0n, "no CPU time");
    assert.ok((linux?.memory?.workingSetBytes?.value ?? 0n) > 0n, "no memory");
    assert.ok((linux?.process?.processCount?.value ?? 0n) > 0n, "no processes");
    assert.notEqual(linux?.network?.defaultInterface?.name ?? "", "", "no network interface");
    assert.deepEqual(
      linux?.containers.map((container) => container.attributes?.id),
      [id],
    );
  },
  async "a sandbox's network statistics grow with its traffic"(world) {
    const sandbox = await world.sandbox();
    const id = await world.run(sandbox);
    const received = async (): Promise<bigint> =>
      (await sandboxStatsOf(world, sandbox.id)).linux?.network?.defaultInterface?.txBytes?.value ?? 0n;
    const before = await received();
    await world.runtime.execSync({
      containerId: id,
      cmd: ["ping", "-c", "3", "-i", "0.1", "-s", "1000", "-W", "1", "192.0.2.1"],
    });
    const gateway = await world.exec(id, "sh", "-c", "ip route | awk '/default/ {print $3}'");
    await world.runtime.execSync({
      containerId: id,
      cmd: ["ping", "-c", "3", "-i", "0.1", "-s", "1000", "-W", "1", gateway],
    });
    await eventually("the traffic is counted", async () => ((await received()) > before + 2000n ? true : undefined));
  },
  async "the statistics of an unknown sandbox are refused"(world) {
    await refused(world.runtime.podSandboxStats({ podSandboxId: world.unique("nothing") }), "not-found");
  },
  async "sandboxes' statistics are listed, by id and labels"(world) {
    const labels = { which: world.unique("stats") };
    const { id } = await world.sandbox({ labels });
    const other = await world.pod();
    const list = async (filter?: { id?: string; labelSelector?: Record<string, string> }) =>
      (await world.runtime.listPodSandboxStats(filter === undefined ? {} : { filter })).stats.map(
        ({ attributes }) => attributes?.id,
      );
    for (const one of [id, other.id]) assert.ok((await list()).includes(one));
    assert.deepEqual(await list({ id }), [id]);
    assert.deepEqual(await list({ labelSelector: labels }), [id]);
    assert.deepEqual(await list({ id: other.id, labelSelector: labels }), []);
  },
  async "pressure stall information is told where the kernel has it"(world) {
    if (!existsSync("/proc/pressure/cpu") || !existsSync("/sys/fs/cgroup/cgroup.controllers"))
      skip("this machine has no cgroup v2 with pressure stall information");
    const { cpu, memory, io } = await statsOf(world, await world.run(await world.pod()));
    if (cpu?.psi === undefined) notImplemented("ContainerStats has no psi");
    assert.ok(memory?.psi !== undefined && io?.psi !== undefined);
  },
});
