import type { LinuxContainerResources } from "@tripod/api/cri";
import { failpoint, TripodError } from "@tripod/base";
import { buildResources } from "@tripod/oci";
import type { CriContext } from "../context.ts";
import { containerConfigOf, encodeContainerConfig } from "../records/container-record.ts";
import { runtimeOf } from "../runtime/handler.ts";
import { isLive } from "./kill.ts";
import { mergeResources, resourcesRequest } from "./resources.ts";

/** Changes the limits of a container that lives; what the change leaves unset stays as it is. */
export async function updateContainer(
  context: CriContext,
  idOrPrefix: string,
  change: LinuxContainerResources,
): Promise<void> {
  const { id } = context.containers.get(idOrPrefix);
  await context.locks.run(id, async () => {
    const container = context.containers.get(id);
    if (!isLive(context, id)) {
      throw new TripodError("failed-precondition", `update container ${id}: it is ${container.phase}`);
    }
    const config = containerConfigOf(container);
    const resources = mergeResources(config.linux?.resources, change);
    const wanted = buildResources(resourcesRequest(resources), context.cgroup);
    await runtimeOf(context, container.handler).update(id, wanted);
    failpoint("cri.container.updated");
    const linux = { ...config.linux, $typeName: "runtime.v1.LinuxContainerConfig" as const, resources };
    // Its end may have been recorded meanwhile.
    context.containers.put({ ...context.containers.get(id), config: encodeContainerConfig({ ...config, linux }) });
  });
}
