import type { MessageInitShape } from "@bufbuild/protobuf";
import { type MetricSchema, MetricType, type PodSandboxMetricsSchema } from "@tripod/api/cri";
import { cgroupHugepages, cgroupIo, cgroupIoPressure, cgroupStats } from "@tripod/linux";
import { containersOf } from "../../container/containers-of.ts";
import type { CriContext } from "../../context.ts";
import { nowNs } from "../../now.ts";
import { containerConfigOf, type ContainerRecord } from "../../records/container-record.ts";
import { sandboxConfigOf, type SandboxRecord } from "../../records/sandbox-record.ts";
import { paced } from "../paced.ts";
import { sandboxLinks } from "../sandbox-links.ts";
import {
  cpuSamples,
  hugepageSamples,
  ioSamples,
  memorySamples,
  oomSamples,
  pressureSamples,
} from "./cgroup-samples.ts";
import { isWanted, type MetricGroup, metricOf, type Sample } from "./descriptors.ts";
import { diskSamples } from "./disk-samples.ts";
import { networkSamples } from "./network-samples.ts";
import { processSamples } from "./process-samples.ts";
import { specSamples } from "./spec-samples.ts";

type MetricInit = MessageInitShape<typeof MetricSchema>;

/** Samples on the wire; `base` are the values of the base labels. */
const encode = (samples: readonly Sample[], base: readonly string[]): MetricInit[] => {
  const timestamp = nowNs();
  return samples.map(({ name, value, labels = [] }) => ({
    name,
    timestamp,
    metricType: metricOf(name).type === "counter" ? MetricType.COUNTER : MetricType.GAUGE,
    labelValues: [...base, ...labels],
    value: { value: BigInt(value) },
  }));
};

type Wanted = (group: MetricGroup) => boolean;

async function containerSamples(context: CriContext, container: ContainerRecord, wants: Wanted): Promise<Sample[]> {
  const { cgroupsPath } = container;
  const stats = cgroupStats(cgroupsPath);
  const pressure = {
    memory: stats.memory?.pressure,
    io: wants("pressure") ? cgroupIoPressure(cgroupsPath) : undefined,
  };
  return [
    { name: "container_last_seen", value: nowNs() / 1_000_000_000n },
    ...(wants("cpu") ? cpuSamples(stats) : []),
    ...(wants("memory") ? memorySamples(stats) : []),
    ...(wants("oom") ? oomSamples(stats) : []),
    ...(wants("pressure") ? pressureSamples(stats.cpu?.pressure, pressure) : []),
    ...(wants("diskIO") ? ioSamples(cgroupIo(cgroupsPath)) : []),
    ...(wants("hugetlb") ? hugepageSamples(cgroupHugepages(cgroupsPath)) : []),
    ...(wants("spec") ? specSamples(container) : []),
    ...(wants("process") ? await processSamples(stats, container) : []),
    ...(wants("disk")
      ? await diskSamples(context.layout.snapshotsDir, {
          written: await context.writableUsages.get(container.id),
          limit: context.images.rootfsLimit(container.id),
        })
      : []),
  ];
}

/** The metrics of a sandbox, which are its cgroup's and its interfaces', and of its containers that run. */
export async function sandboxMetrics(
  context: CriContext,
  sandbox: SandboxRecord,
): Promise<MessageInitShape<typeof PodSandboxMetricsSchema>> {
  const wants: Wanted = (group) => isWanted(group, context.config.metrics);
  const { metadata } = sandboxConfigOf(sandbox);
  const pod = [metadata?.name ?? "", metadata?.namespace ?? ""];
  const stats = cgroupStats(sandbox.cgroupParent);
  const own = [
    ...(wants("cpu") ? cpuSamples(stats) : []),
    ...(wants("memory") ? memorySamples(stats) : []),
    ...(wants("network") ? networkSamples(sandboxLinks(context, sandbox) ?? []) : []),
  ];
  const running = containersOf(context, sandbox.id).filter(({ phase }) => phase === "running");
  const ofContainer = async (container: ContainerRecord) => {
    const name = containerConfigOf(container).metadata?.name ?? "";
    const base = [container.cgroupsPath, container.id, container.imageName, name, ...pod];
    return { containerId: container.id, metrics: encode(await containerSamples(context, container, wants), base) };
  };
  return {
    podSandboxId: sandbox.id,
    // No container, and no image, stands for the Pod as a whole.
    metrics: encode(own, [sandbox.cgroupParent, sandbox.id, "", "", ...pod]),
    containerMetrics: await Array.fromAsync(paced(running, ofContainer)),
  };
}
