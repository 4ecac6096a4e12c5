import { statfs } from "node:fs/promises";
import { readFile } from "node:fs/promises";
import type { ContainerStats, CpuUsage, MemoryUsage, UInt64Value } from "@tripod/api/cri";
import { containerNameLabel, podNameLabel, podNamespaceLabel, podUidLabel } from "../cri/pod-labels.ts";
import { timestampOf, unixMsOf } from "../pods/timestamp.ts";
import type { ServerContext } from "./server-context.ts";

const number = (value: UInt64Value | undefined): number | undefined =>
  value === undefined ? undefined : Number(value.value);

/** Leaves out what is not known. */
const known = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

const timeOf = (timestampNs: bigint): string => timestampOf(Number(timestampNs / 1_000_000n));

const cpuOf = (cpu: CpuUsage | undefined) =>
  cpu === undefined
    ? undefined
    : known({
        time: timeOf(cpu.timestamp),
        usageNanoCores: number(cpu.usageNanoCores),
        usageCoreNanoSeconds: number(cpu.usageCoreNanoSeconds),
      });

const memoryOf = (memory: MemoryUsage | undefined) =>
  memory === undefined
    ? undefined
    : known({
        time: timeOf(memory.timestamp),
        availableBytes: number(memory.availableBytes),
        usageBytes: number(memory.usageBytes),
        workingSetBytes: number(memory.workingSetBytes),
        rssBytes: number(memory.rssBytes),
        pageFaults: number(memory.pageFaults),
        majorPageFaults: number(memory.majorPageFaults),
      });

const containerOf = (stats: ContainerStats, startTime: string) =>
  known({
    name: stats.attributes?.labels[containerNameLabel] ?? stats.attributes?.metadata?.name ?? "",
    startTime,
    cpu: cpuOf(stats.cpu),
    memory: memoryOf(stats.memory),
    rootfs:
      stats.writableLayer === undefined
        ? undefined
        : known({
            time: timeOf(stats.writableLayer.timestamp),
            usedBytes: number(stats.writableLayer.usedBytes),
            inodesUsed: number(stats.writableLayer.inodesUsed),
          }),
  });

const sum = (values: readonly (UInt64Value | undefined)[]): number =>
  values.reduce((total, value) => total + (number(value) ?? 0), 0);

async function nodeSummary({ nodeName, kubeletDir, startedAtMs }: ServerContext) {
  const text = await readFile("/proc/meminfo", "utf8");
  const memory = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? 0) * 1024;
  const disk = await statfs(kubeletDir);
  const cpu = /^cpu +(\d+) (\d+) (\d+) \d+ \d+ (\d+) (\d+)/m.exec(await readFile("/proc/stat", "utf8")) ?? [];
  const ticks = cpu.slice(1).reduce((total, value) => total + Number(value), 0);
  const time = timestampOf(Date.now());
  return {
    nodeName,
    startTime: timestampOf(startedAtMs),
    // A tick is a hundredth of a second on every Linux that Kubernetes runs on.
    cpu: { time, usageCoreNanoSeconds: ticks * 10_000_000 },
    memory: {
      time,
      availableBytes: memory("MemAvailable"),
      usageBytes: memory("MemTotal") - memory("MemFree"),
      workingSetBytes: memory("MemTotal") - memory("MemAvailable"),
    },
    fs: {
      time,
      availableBytes: disk.bavail * disk.bsize,
      capacityBytes: disk.blocks * disk.bsize,
      usedBytes: (disk.blocks - disk.bfree) * disk.bsize,
      inodesFree: disk.ffree,
      inodes: disk.files,
      inodesUsed: disk.files - disk.ffree,
    },
  };
}

/** The answer to /stats/summary (kubelet stats v1alpha1): the machine, and each Pod with its containers. */
export async function statsSummary(context: ServerContext): Promise<object> {
  const [{ stats }, volumes] = await Promise.all([
    context.cri.runtime.listContainerStats({}),
    context.volumeStats.latest(),
  ]);
  const byPod = new Map<string, ContainerStats[]>();
  for (const each of stats) {
    const uid = each.attributes?.labels[podUidLabel];
    if (uid !== undefined) byPod.set(uid, [...(byPod.get(uid) ?? []), each]);
  }
  const started = new Map(context.pods().map((pod) => [pod.metadata?.uid ?? "", unixMsOf(pod.status?.startTime)]));
  const pods = [...byPod].map(([uid, containers]) => {
    const labels = containers[0]?.attributes?.labels ?? {};
    const startTime = timestampOf(started.get(uid) ?? context.startedAtMs);
    const time = timestampOf(Date.now());
    return {
      podRef: { name: labels[podNameLabel] ?? "", namespace: labels[podNamespaceLabel] ?? "", uid },
      startTime,
      containers: containers.map((each) => containerOf(each, startTime)),
      cpu: {
        time,
        usageNanoCores: sum(containers.map(({ cpu }) => cpu?.usageNanoCores)),
        usageCoreNanoSeconds: sum(containers.map(({ cpu }) => cpu?.usageCoreNanoSeconds)),
      },
      memory: {
        time,
        usageBytes: sum(containers.map(({ memory }) => memory?.usageBytes)),
        workingSetBytes: sum(containers.map(({ memory }) => memory?.workingSetBytes)),
        rssBytes: sum(containers.map(({ memory }) => memory?.rssBytes)),
      },
      ...(volumes.has(uid) ? { volume: volumes.get(uid) } : {}),
    };
  });
  return { node: await nodeSummary(context), pods };
}
