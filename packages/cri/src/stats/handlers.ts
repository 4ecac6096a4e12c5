import type { PodSandboxStatsFilter, RuntimeService } from "@tripod/api/cri";
import type { ServiceImpl } from "@tripod/grpc";
import { selectContainers } from "../container/view.ts";
import type { CriContext } from "../context.ts";
import { idMatches, labelsMatch } from "../filters.ts";
import { sandboxConfigOf, type SandboxRecord } from "../records/sandbox-record.ts";
import { containerStats } from "./container-stats.ts";
import { CpuRates } from "./cpu-rate.ts";
import { sandboxStats } from "./sandbox-stats.ts";

const selectReady = (context: CriContext, filter: PodSandboxStatsFilter | undefined): SandboxRecord[] =>
  context.sandboxes
    .list()
    .filter((sandbox) => sandbox.phase === "ready" && idMatches(sandbox.id, filter?.id))
    .filter((sandbox) => labelsMatch(sandboxConfigOf(sandbox).labels, filter?.labelSelector));

/** The statistics of containers and sandboxes; lists hold those that run. */
export function statsHandlers(context: CriContext) {
  const rates = new CpuRates();
  const prune = (): void => {
    rates.prune((id) => context.containers.find(id) !== undefined || context.sandboxes.find(id) !== undefined);
  };
  return {
    async containerStats({ containerId }) {
      return { stats: await containerStats(context, context.containers.get(containerId), rates) };
    },
    async listContainerStats({ filter }) {
      prune();
      const running = selectContainers(context, filter).filter((container) => container.phase === "running");
      return { stats: await Promise.all(running.map((container) => containerStats(context, container, rates))) };
    },
    async *streamContainerStats({ filter }) {
      for (const container of selectContainers(context, filter)) {
        if (container.phase === "running") yield { containerStats: [await containerStats(context, container, rates)] };
      }
    },
    async podSandboxStats({ podSandboxId }) {
      return { stats: await sandboxStats(context, context.sandboxes.get(podSandboxId), rates) };
    },
    async listPodSandboxStats({ filter }) {
      prune();
      return {
        stats: await Promise.all(selectReady(context, filter).map((sandbox) => sandboxStats(context, sandbox, rates))),
      };
    },
    async *streamPodSandboxStats({ filter }) {
      for (const sandbox of selectReady(context, filter)) {
        yield { podSandboxStats: [await sandboxStats(context, sandbox, rates)] };
      }
    },
  } satisfies ServiceImpl<typeof RuntimeService>;
}
