import { create } from "@bufbuild/protobuf";
import { type ContainerEviction, type ContainerUpdate, ContainerUpdateSchema } from "@tripod/api/nri";
import { messageOf } from "@tripod/base";
import { stopContainer } from "../container/stop.ts";
import { changeLimits } from "../container/update.ts";
import type { CriContext } from "../context.ts";
import { limitsChange } from "./limits-change.ts";
import type { WantedUpdate } from "./merge-updates.ts";

/** Changes the limits of containers as plugins ask; those that it failed for, without the ones that may. */
export async function applyUpdates(context: CriContext, updates: Iterable<WantedUpdate>): Promise<ContainerUpdate[]> {
  const failed: ContainerUpdate[] = [];
  for (const update of updates) {
    const { containerId, resources, ignoreFailure } = update;
    try {
      const container = context.containers.get(containerId);
      // One that is being made is told to plugins that join, too.
      const creations = context.creationsInSandbox.get(container.sandboxId);
      if (container.phase === "making" && creations !== undefined) await Promise.allSettled(creations);
      await changeLimits(context, container.id, limitsChange(update));
    } catch (error) {
      context.log.warn({ container: containerId, ignoreFailure, error: messageOf(error) }, "nri: update failed");
      if (!ignoreFailure) failed.push(create(ContainerUpdateSchema, { containerId, linux: { resources } }));
    }
  }
  return failed;
}

/** Kills containers that plugins want to be gone. */
export async function evict(context: CriContext, evictions: readonly ContainerEviction[]): Promise<void> {
  for (const { containerId, reason } of evictions) {
    context.log.info({ container: containerId, reason }, "nri: container evicted");
    try {
      await stopContainer(context, containerId, 0);
    } catch (error) {
      context.log.warn({ container: containerId, error: messageOf(error) }, "nri: eviction failed");
    }
  }
}
