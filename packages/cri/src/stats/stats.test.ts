import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { CgroupDriver, ContainerState, type Metric, MetricType } from "@tripod/api/cri";
import { cgroupHierarchies, cgroupStats, cgroupVersion } from "@tripod/linux";
import { startTestNode, type TestNode } from "../testing/test-node.ts";

const mebibyte = 1024 ** 2;
let node: TestNode;
before(async () => {
  node = await startTestNode({ subnet: "10.78.0.0/24" });
});
after(async () => {
  await node[Symbol.asyncDispose]();
});

const runSandbox = async (change = {}): Promise<string> =>
  (await node.runtime.runPodSandbox({ config: node.sandboxConfig(change) })).podSandboxId;

/** The cgroup of a container, as its status tells. */
async function cgroupOf(containerId: string): Promise<string> {
  const { info } = await node.runtime.containerStatus({ containerId, verbose: true });
  const parsed: { record: { cgroupsPath: string } } = JSON.parse(info["info"] ?? "");
  return parsed.record.cgroupsPath;
}

/** Waits for a line of the container's log. */
async function logged(containerId: string, text: string): Promise<void> {
  const has = async (): Promise<boolean> => (await node.log(containerId)).some((line) => line.includes(text));
  while (!(await has())) await new Promise((resolve) => setTimeout(resolve, 10));
}

test("statistics of a container and its sandbox hold every part that the machine counts", async () => {
  const podSandboxId = await runSandbox();
  const script = "head -c 3000000 /dev/zero >/big; sleep 1000 & sleep 1000 & echo up; wait";
  const limits = { memoryLimitInBytes: BigInt(64 * mebibyte), memorySwapLimitInBytes: BigInt(80 * mebibyte) };
  const containerId = await node.run(podSandboxId, script, { linux: { resources: limits } });
  await logged(containerId, "up");
  const { stats } = await node.runtime.containerStats({ containerId });
  const { memory, cpu, writableLayer, swap } = stats ?? {};
  assert.ok((cpu?.usageCoreNanoSeconds?.value ?? 0n) > 0n);
  assert.ok((memory?.workingSetBytes?.value ?? 0n) > 0n);
  assert.ok((memory?.usageBytes?.value ?? 0n) >= (memory?.workingSetBytes?.value ?? 0n));
  assert.equal(
    (memory?.availableBytes?.value ?? 0n) + (memory?.workingSetBytes?.value ?? 0n),
    limits.memoryLimitInBytes,
  );
  assert.ok((memory?.pageFaults?.value ?? 0n) > 0n);
  assert.ok((writableLayer?.usedBytes?.value ?? 0n) >= 3_000_000n);
  assert.equal(writableLayer?.fsId?.mountpoint, node.layout.snapshotsDir);
  const counted = cgroupStats(await cgroupOf(containerId)).memory?.swap;
  assert.equal(swap?.swapUsageBytes?.value, counted === undefined ? undefined : 0n);
  assert.equal(swap?.swapAvailableBytes?.value, counted === undefined ? undefined : BigInt(16 * mebibyte));
  const pressure = cgroupVersion() === "v2" && existsSync("/proc/pressure");
  for (const psi of [cpu?.psi, memory?.psi, stats?.io?.psi]) assert.equal(psi !== undefined, pressure);

  const pod = (await node.runtime.podSandboxStats({ podSandboxId })).stats;
  assert.equal(pod?.linux?.process?.processCount?.value, 3n);
  assert.deepEqual(
    pod?.linux?.containers.map(({ attributes }) => attributes?.id),
    [containerId],
  );
  assert.ok((pod?.linux?.memory?.usageBytes?.value ?? 0n) >= (memory?.rssBytes?.value ?? 0n));
  assert.equal(pod?.linux?.network?.defaultInterface?.name, "eth0");
  assert.equal(pod?.windows, undefined);
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("network counters are those inside the sandbox", async () => {
  const podSandboxId = await runSandbox();
  const containerId = await node.run(podSandboxId, "cat /proc/net/dev; sleep 1000");
  await logged(containerId, "eth0");
  const line = (await node.log(containerId)).find((each) => each.includes("eth0:")) ?? "";
  const [, rxBytes = "", , , , , , , , txBytes = ""] = line.slice(line.indexOf("eth0")).split(/[:\s]+/);
  const { stats } = await node.runtime.podSandboxStats({ podSandboxId });
  const eth0 = stats?.linux?.network?.defaultInterface;
  assert.ok((eth0?.rxBytes?.value ?? -1n) >= BigInt(rxBytes));
  assert.ok((eth0?.txBytes?.value ?? -1n) >= BigInt(txBytes));
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("what is streamed is what is listed", async () => {
  const ids = await Promise.all([1, 2].map(() => runSandbox({ labels: { streamed: "yes" } })));
  const containers = await Promise.all(ids.map((id) => node.run(id, "sleep 1000")));
  const stopped = await node.run(ids[0] ?? "", "true");
  await node.reached(stopped, ContainerState.CONTAINER_EXITED);
  const filter = { labelSelector: { streamed: "yes" } };
  const listed = (await node.runtime.listPodSandboxStats({ filter })).stats.map(({ attributes }) => attributes?.id);
  const streamed = await Array.fromAsync(node.runtime.streamPodSandboxStats({ filter }));
  assert.deepEqual(
    streamed.flatMap(({ podSandboxStats }) => podSandboxStats.map(({ attributes }) => attributes?.id)),
    listed,
  );
  assert.deepEqual(new Set(listed), new Set(ids));
  const ofContainers = await Array.fromAsync(node.runtime.streamContainerStats({}));
  const streamedIds = ofContainers.flatMap(({ containerStats }) =>
    containerStats.map(({ attributes }) => attributes?.id),
  );
  assert.deepEqual(new Set(streamedIds), new Set(containers));
  const metrics = await Array.fromAsync(node.runtime.streamPodSandboxMetrics({}));
  const measured = metrics.flatMap(({ podSandboxMetrics }) =>
    podSandboxMetrics.map(({ podSandboxId }) => podSandboxId),
  );
  assert.deepEqual(new Set(measured), new Set(ids));
  for (const podSandboxId of ids) await node.runtime.removePodSandbox({ podSandboxId });
});

/** Names that have no value where the kernel does not count: on version 1, without huge pages, without a disk that was touched. */
const optional = /^container_(pressure_|hugetlb_|blkio_|fs_(reads|writes)_)/;

test("metrics have cAdvisor's names, and every one its descriptor's labels", async () => {
  const { descriptors } = await node.runtime.listMetricDescriptors({});
  const names = new Set(descriptors.map(({ name }) => name));
  assert.equal(names.size, descriptors.length);
  assert.ok(descriptors.every(({ help, labelKeys }) => help !== "" && labelKeys.includes("pod")));
  const podSandboxId = await runSandbox();
  const resources = {
    cpuPeriod: 100_000n,
    cpuQuota: 20_000n,
    cpuShares: 512n,
    memoryLimitInBytes: BigInt(64 * mebibyte),
  };
  const containerId = await node.run(podSandboxId, "ulimit -n 77; echo up; while :; do sleep 1000; done", {
    linux: { resources },
  });
  await logged(containerId, "up");
  const { podMetrics } = await node.runtime.listPodSandboxMetrics({});
  const mine = podMetrics.find((each) => each.podSandboxId === podSandboxId);
  const own = mine?.containerMetrics.find((each) => each.containerId === containerId)?.metrics ?? [];
  const all = [...(mine?.metrics ?? []), ...own];
  const keysOf = new Map(descriptors.map(({ name, labelKeys }) => [name, labelKeys]));
  for (const { name, labelValues } of all) assert.equal(labelValues.length, keysOf.get(name)?.length, name);
  const seen = new Set(all.map(({ name }) => name));
  assert.deepEqual(
    [...names].filter((name) => !seen.has(name) && !optional.test(name)),
    [],
  );
  const labelsOf = ({ name, labelValues }: Metric): Record<string, string | undefined> =>
    Object.fromEntries((keysOf.get(name) ?? []).map((key, index) => [key, labelValues[index]]));
  const find = (name: string, among = own): Metric => {
    const found = among.find((metric) => metric.name === name);
    assert.ok(found !== undefined, name);
    return found;
  };
  const cpu = find("container_cpu_usage_seconds_total");
  const { metadata } = (await node.runtime.podSandboxStatus({ podSandboxId })).status ?? {};
  const container = (await node.runtime.containerStatus({ containerId })).status?.metadata?.name;
  assert.deepEqual(labelsOf(cpu), {
    id: await cgroupOf(containerId),
    name: containerId,
    image: node.image,
    container,
    pod: metadata?.name,
    namespace: "test",
    cpu: "total",
  });
  assert.equal(cpu.metricType, MetricType.COUNTER);
  assert.equal(labelsOf(find("container_network_receive_bytes_total", mine?.metrics))["interface"], "eth0");
  assert.equal(find("container_spec_cpu_quota").value?.value, 20_000n);
  assert.equal(find("container_spec_memory_limit_bytes").value?.value, resources.memoryLimitInBytes);
  assert.equal(find("container_ulimits_soft").value?.value, 77n);
  assert.equal(find("container_processes").value?.value, 2n);
  assert.ok((find("container_file_descriptors").value?.value ?? 0n) >= 6n);
  assert.ok((find("container_fs_limit_bytes").value?.value ?? 0n) > 0n);
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("limits of a running container change, and one below what it holds is refused with the numbers", async () => {
  const podSandboxId = await runSandbox();
  // A shell variable is memory that the kernel cannot drop.
  const script = "x=$(head -c 20000000 /dev/zero | tr '\\0' a); echo held; sleep 1000; echo $x";
  const containerId = await node.run(podSandboxId, script, {
    linux: { resources: { memoryLimitInBytes: BigInt(256 * mebibyte) } },
  });
  await logged(containerId, "held");
  const cgroup = await cgroupOf(containerId);
  const update = (linux: object) => node.runtime.updateContainerResources({ containerId, linux });
  for (const mebi of [512, 128]) {
    const bytes = mebi * mebibyte;
    await update({
      memoryLimitInBytes: BigInt(bytes),
      memorySwapLimitInBytes: BigInt(bytes + mebibyte),
      cpuShares: 100n,
    });
    const { memory } = cgroupStats(cgroup);
    assert.equal(memory?.limitBytes, bytes);
    if (memory?.swap !== undefined) assert.equal(memory.swap.limitBytes, mebibyte);
  }
  await assert.rejects(
    update({ memoryLimitInBytes: 1_000_000n }),
    /uses \d+ bytes of memory, more than the limit of 1000000/,
  );
  assert.equal(cgroupStats(cgroup).memory?.limitBytes, 128 * mebibyte);
  await update({ cpuQuota: 30_000n, cpuPeriod: 60_000n, cpusetCpus: "0" });
  const { version, unified, v1 } = cgroupHierarchies();
  const file = (controller: string, name: string): string =>
    readFileSync(join((version === "v2" ? unified : v1.get(controller)) ?? "", cgroup, name), "utf8").trim();
  assert.equal(file("cpuset", "cpuset.cpus"), "0");
  if (version === "v2") {
    assert.equal(file("cpu", "cpu.max"), "30000 60000");
    await update({ unified: { "memory.high": String(100 * mebibyte) } });
    assert.equal(file("memory", "memory.high"), String(100 * mebibyte));
  } else {
    assert.equal(file("cpu", "cpu.cfs_quota_us"), "30000");
    await assert.rejects(update({ unified: { "memory.high": "1" } }), /cgroup v1/);
  }
  await assert.rejects(update({ cpusetCpus: "4096" }), /update container/);
  const { status } = await node.runtime.containerStatus({ containerId });
  assert.equal(status?.resources?.linux?.memoryLimitInBytes, BigInt(128 * mebibyte));
  assert.equal(status?.resources?.linux?.cpusetCpus, "0");
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("a sandbox's own cgroup is limited by resources and overhead together; a kubelet's is left to it", async () => {
  const { runtime } = node;
  const { linux } = await runtime.runtimeConfig({});
  const resources = {
    memoryLimitInBytes: BigInt(64 * mebibyte),
    cpuShares: 100n,
    cpuQuota: 50_000n,
    cpuPeriod: 100_000n,
  };
  const overhead = { memoryLimitInBytes: BigInt(8 * mebibyte) };
  const podSandboxId = await runSandbox({ linux: { resources, overhead } });
  const { info } = await runtime.podSandboxStatus({ podSandboxId, verbose: true });
  const { record }: { record: { cgroupParent: string } } = JSON.parse(info["info"] ?? "");
  const limit = (cgroup: string): number | undefined => cgroupStats(cgroup).memory?.limitBytes;
  if (linux?.cgroupDriver === CgroupDriver.SYSTEMD) {
    await assert.rejects(runtime.updatePodSandboxResources({ podSandboxId, resources }), /slice/);
  } else {
    assert.equal(limit(record.cgroupParent), 72 * mebibyte);
    await runtime.updatePodSandboxResources({ podSandboxId, resources: { memoryLimitInBytes: BigInt(32 * mebibyte) } });
    assert.equal(limit(record.cgroupParent), 40 * mebibyte);
    await runtime.updatePodSandboxResources({ podSandboxId, overhead: {} });
    assert.equal(limit(record.cgroupParent), 32 * mebibyte);
  }
  await runtime.removePodSandbox({ podSandboxId });
  await assert.rejects(runtime.updatePodSandboxResources({ podSandboxId, resources }), /sandbox/);
});
