import type { PodSandboxStatsFilter, RuntimeService } from "@tripod/api/cri";
import type { ServiceImpl } from "@tripod/grpc";
import { type ContainerSelection, selectContainers } from "../container/view.ts";
import type { CriContext } from "../context.ts";
import { idMatches, labelsMatch } from "../filters.ts";
import type { ContainerRecord } from "../records/container-record.ts";
import { sandboxConfigOf, type SandboxRecord } from "../records/sandbox-record.ts";
import { containerStats } from "./container-stats.ts";
import { CpuRates } from "./cpu-rate.ts";
import { metricDescriptors } from "./metrics/descriptors.ts";
import { sandboxMetrics } from "./metrics/sandbox-metrics.ts";
import { paced } from "./paced.ts";
import { sandboxStats } from "./sandbox-stats.ts";

const selectReady = (context: CriContext, filter: PodSandboxStatsFilter | undefined): SandboxRecord[] =>
  context.sandboxes
    .list()
    .filter((sandbox) => sandbox.phase === "ready" && idMatches(sandbox.id, filter?.id))
    .filter((sandbox) => labelsMatch(sandboxConfigOf(sandbox).labels, filter?.labelSelector));

const selectRunning = (context: CriContext, filter: ContainerSelection | undefined): ContainerRecord[] =>
  selectContainers(context, filter).filter((container) => container.phase === "running");

/** The statistics and metrics of containers and sandboxes; lists hold those that run. */
export function statsHandlers(context: CriContext) {
  const rates = new CpuRates();
  const ofContainer = (container: ContainerRecord) => containerStats(context, container, rates);
  const ofSandbox = (sandbox: SandboxRecord) => sandboxStats(context, sandbox, rates);
  const metricsOf = (sandbox: SandboxRecord) => sandboxMetrics(context, sandbox);
  const prune = (): void => {
    const isThere = (id: string): boolean =>
      context.containers.find(id) !== undefined || context.sandboxes.find(id) !== undefined;
    rates.prune(isThere);
    context.writableUsages.prune(isThere);
  };
  return {
    async containerStats({ containerId }) {
      return { stats: await ofContainer(context.containers.get(containerId)) };
    },
    async listContainerStats({ filter }) {
      prune();
      return { stats: await Array.fromAsync(paced(selectRunning(context, filter), ofContainer)) };
    },
    async *streamContainerStats({ filter }) {
      for await (const stats of paced(selectRunning(context, filter), ofContainer)) yield { containerStats: [stats] };
    },
    async podSandboxStats({ podSandboxId }) {
      return { stats: await ofSandbox(context.sandboxes.get(podSandboxId)) };
    },
    async listPodSandboxStats({ filter }) {
      prune();
      return { stats: await Array.fromAsync(paced(selectReady(context, filter), ofSandbox)) };
    },
    async *streamPodSandboxStats({ filter }) {
      for await (const stats of paced(selectReady(context, filter), ofSandbox)) yield { podSandboxStats: [stats] };
    },
    async listMetricDescriptors() {
      return { descriptors: metricDescriptors(context.config.metrics) };
    },
    async listPodSandboxMetrics() {
      prune();
      return { podMetrics: await Array.fromAsync(paced(selectReady(context, undefined), metricsOf)) };
    },
    async *streamPodSandboxMetrics() {
      for await (const metrics of paced(selectReady(context, undefined), metricsOf)) {
        yield { podSandboxMetrics: [metrics] };
      }
    },
  } satisfies ServiceImpl<typeof RuntimeService>;
}
