import type { LinuxContainerResources } from "@tripod/api/cri";
import { failpoint, TripodError } from "@tripod/base";
import { cgroupStats } from "@tripod/linux";
import { buildResources, type ResourcesSpec } from "@tripod/oci";
import type { CriContext } from "../context.ts";
import { containerConfigOf, encodeContainerConfig } from "../records/container-record.ts";
import { runtimeOf } from "../runtime/handler.ts";
import { isLive } from "./kill.ts";
import { setOomScore } from "./oom-score.ts";
import { mergeResources, resourcesRequest } from "./resources.ts";

/** UpdateContainerResources: as the request says, unless plugins say otherwise. */
export async function updateContainer(
  context: CriContext,
  idOrPrefix: string,
  change: LinuxContainerResources,
): Promise<void> {
  const { id } = context.containers.get(idOrPrefix);
  await changeLimits(context, id, await context.nri.updating(id, change));
  context.nri.updated(id);
}

/** Limits of which CRI knows, and others. */
export interface LimitsChange {
  readonly resources: LinuxContainerResources;
  readonly more?: ResourcesSpec;
}

/** Changes the limits of a container that lives; what the change leaves unset stays as it is. */
export async function changeLimits(context: CriContext, id: string, of: LimitsChange): Promise<void> {
  const change = of.resources;
  await context.locks.run(id, async () => {
    const container = context.containers.get(id);
    if (!isLive(context, id)) {
      throw new TripodError("failed-precondition", `update container ${id}: it is ${container.phase}`);
    }
    const config = containerConfigOf(container);
    const resources = mergeResources(config.linux?.resources, change);
    const wanted = { ...buildResources(resourcesRequest(resources), context.cgroup), ...of.more };
    refuseBelowUsage(id, { cgroupsPath: container.cgroupsPath, limitBytes: Number(change.memoryLimitInBytes) });
    await runtimeOf(context, container.handler).update(id, wanted);
    if (change.oomScoreAdj !== 0n) setOomScore(container.init, Number(change.oomScoreAdj));
    failpoint("cri.container.updated");
    const linux = { ...config.linux, $typeName: "runtime.v1.LinuxContainerConfig" as const, resources };
    // Its end may have been recorded meanwhile.
    context.containers.put({ ...context.containers.get(id), config: encodeContainerConfig({ ...config, linux }) });
  });
}

/**
 * A memory limit below what cannot be given back would have version 2 kill the container, and is refused by version 1 in words that name
 * no numbers. File pages do not count: the kernel drops them.
 */
function refuseBelowUsage(id: string, of: { readonly cgroupsPath: string; readonly limitBytes: number }): void {
  const { memory } = cgroupStats(of.cgroupsPath);
  if (memory === undefined || of.limitBytes <= 0) return;
  const heldBytes = memory.usageBytes - memory.activeFileBytes - memory.inactiveFileBytes;
  if (heldBytes <= of.limitBytes) return;
  throw new TripodError(
    "failed-precondition",
    `update container ${id}: it uses ${heldBytes} bytes of memory, more than the limit of ${of.limitBytes} asked for; nothing was changed`,
  );
}
