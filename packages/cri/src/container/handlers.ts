import type { RuntimeService } from "@tripod/api/cri";
import { TripodError } from "@tripod/base";
import type { ServiceImpl } from "@tripod/grpc";
import { checkpointContainer } from "../checkpoint/checkpoint-container.ts";
import { bundleOf, type CriContext } from "../context.ts";
import { runtimeOf } from "../runtime/handler.ts";
import { createContainer } from "./create.ts";
import { execSync, requireRunning } from "./exec-sync.ts";
import { removeContainer } from "./remove.ts";
import { startContainer } from "./start.ts";
import { stopContainer } from "./stop.ts";
import { updateContainer } from "./update.ts";
import { containerListItem, containerStatus, selectContainers } from "./view.ts";

/** The RPCs on containers, without statistics and streaming. */
export const containerHandlers = (context: CriContext) =>
  ({
    async createContainer({ podSandboxId, config }) {
      if (config === undefined) throw new TripodError("invalid", "CreateContainer: the config is missing");
      const sandbox = context.sandboxes.get(podSandboxId);
      return { containerId: (await createContainer(context, sandbox, config)).id };
    },
    async startContainer({ containerId }) {
      await startContainer(context, containerId);
      return {};
    },
    async stopContainer({ containerId, timeout }) {
      await stopContainer(context, containerId, Number(timeout) * 1000);
      return {};
    },
    async removeContainer({ containerId }) {
      await removeContainer(context, containerId);
      return {};
    },
    async listContainers({ filter }) {
      return { containers: selectContainers(context, filter).map(containerListItem) };
    },
    async *streamContainers({ filter }) {
      for (const container of selectContainers(context, filter)) yield { containers: [containerListItem(container)] };
    },
    async containerStatus({ containerId, verbose }) {
      const container = context.containers.get(containerId);
      const info = { record: container, pid: container.init?.pid, bundle: bundleOf(context, container.id) };
      return { status: containerStatus(context, container), info: verbose ? { info: JSON.stringify(info) } : {} };
    },
    async updateContainerResources({ containerId, linux }) {
      if (linux === undefined)
        throw new TripodError("invalid", "UpdateContainerResources: there are no resources for Linux");
      await updateContainer(context, containerId, linux);
      return {};
    },
    async reopenContainerLog({ containerId }) {
      const container = context.containers.get(containerId);
      requireRunning(container.phase, container.id, "reopen the log of");
      if (container.logPath !== "") {
        await runtimeOf(context, container.handler).reopenLog(bundleOf(context, container.id), container.logPath);
      }
      return {};
    },
    async checkpointContainer({ containerId, location, timeout }) {
      await checkpointContainer(context, containerId, { location, timeoutMs: Number(timeout) * 1000 });
      return {};
    },
    async execSync({ containerId, cmd, timeout }, { signal }) {
      return await execSync(context, containerId, { args: cmd, timeoutMs: Number(timeout) * 1000, signal });
    },
  }) satisfies ServiceImpl<typeof RuntimeService>;
