import { create, toBinary } from "@bufbuild/protobuf";
import {
  type Container,
  type ContainerUpdate,
  type PodSandbox,
  type SynchronizeRequest,
  SynchronizeRequestSchema,
} from "@tripod/api/nri";
import { TripodError } from "@tripod/base";
import type { NriPlugin } from "./plugin.ts";

/** Below the 4 MiB that a message may have, with room for its envelope. */
const maxPartBytes = 3 * 1024 * 1024;

/** The state in as many requests as it needs. */
function parts(pods: readonly PodSandbox[], containers: readonly Container[]): SynchronizeRequest[] {
  const requests = [create(SynchronizeRequestSchema)];
  let bytes = 0;
  const add = (part: { pods: PodSandbox[] } | { containers: Container[] }): void => {
    const message = create(SynchronizeRequestSchema, part);
    const size = toBinary(SynchronizeRequestSchema, message).length;
    if (bytes > 0 && bytes + size > maxPartBytes) {
      requests.push(create(SynchronizeRequestSchema));
      bytes = 0;
    }
    bytes += size;
    requests.at(-1)?.pods.push(...message.pods);
    requests.at(-1)?.containers.push(...message.containers);
  };
  for (const pod of pods) add({ pods: [pod] });
  for (const container of containers) add({ containers: [container] });
  for (const request of requests.slice(0, -1)) request.more = true;
  return requests;
}

/** Tells a plugin of all that is there; the updates that it wants. */
export async function synchronize(
  plugin: NriPlugin,
  pods: readonly PodSandbox[],
  containers: readonly Container[],
): Promise<ContainerUpdate[]> {
  for (const request of parts(pods, containers)) {
    const reply = await plugin.synchronize(request);
    if (!request.more) return reply.update;
    if (!reply.more || reply.update.length > 0) {
      throw new TripodError("failed-precondition", "nri: it cannot take the state in parts; update the plugin");
    }
  }
  return [];
}
