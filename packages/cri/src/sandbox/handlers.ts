import type { RuntimeService } from "@tripod/api/cri";
import { TripodError } from "@tripod/base";
import type { ServiceImpl } from "@tripod/grpc";
import { checkpointPod } from "../checkpoint/checkpoint-pod.ts";
import { restorePod } from "../checkpoint/restore-pod.ts";
import { containersOf } from "../container/containers-of.ts";
import { containerStatus } from "../container/view.ts";
import type { CriContext } from "../context.ts";
import { updateSandboxResources } from "./limits.ts";
import { removeSandbox } from "./remove.ts";
import { runSandbox } from "./run.ts";
import { sandboxPaths } from "./paths.ts";
import { stopSandbox } from "./stop.ts";
import { sandboxListItem, sandboxStatus, selectSandboxes } from "./view.ts";

/** RunPodSandbox, StopPodSandbox, RemovePodSandbox, UpdatePodSandboxResources, PodSandboxStatus, ListPodSandbox, StreamPodSandboxes. */
export const sandboxHandlers = (context: CriContext) =>
  ({
    async runPodSandbox({ config, runtimeHandler }) {
      if (config === undefined) throw new TripodError("invalid", "RunPodSandbox: the config is missing");
      return { podSandboxId: (await runSandbox(context, config, runtimeHandler)).id };
    },
    async stopPodSandbox({ podSandboxId }) {
      await stopSandbox(context, podSandboxId);
      return {};
    },
    async removePodSandbox({ podSandboxId }) {
      await removeSandbox(context, podSandboxId);
      return {};
    },
    async podSandboxStatus({ podSandboxId, verbose }) {
      const sandbox = context.sandboxes.get(podSandboxId);
      const containers = containersOf(context, sandbox.id).filter((container) => container.phase !== "making");
      return {
        status: sandboxStatus(context, sandbox),
        containersStatuses: containers.map((container) => containerStatus(context, container)),
        // No timestamp: a kubelet 1.37 with EventedPLEG would take it as leave not to ask for the containers, and then miss the active ones.
        info: verbose ? { info: JSON.stringify({ record: sandbox, paths: sandboxPaths(context, sandbox) }) } : {},
      };
    },
    async updatePodSandboxResources({ podSandboxId, resources, overhead }) {
      await updateSandboxResources(context, podSandboxId, { resources, overhead });
      return {};
    },
    async checkpointPod({ podSandboxId, ...request }, { signal }) {
      await checkpointPod(context, podSandboxId, { ...request, signal });
      return {};
    },
    async restorePod(request) {
      const { podSandboxId, restoredContainers } = await restorePod(context, request);
      return { podSandboxId, restoredContainers: [...restoredContainers] };
    },
    async listPodSandbox({ filter }) {
      return { items: selectSandboxes(context, filter).map((sandbox) => sandboxListItem(context, sandbox)) };
    },
    async *streamPodSandboxes({ filter }) {
      for (const sandbox of selectSandboxes(context, filter))
        yield { podSandboxes: [sandboxListItem(context, sandbox)] };
    },
  }) satisfies ServiceImpl<typeof RuntimeService>;
