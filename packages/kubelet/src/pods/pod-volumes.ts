import type { Pod } from "@tripod/api/kubernetes";
import { messageOf } from "@tripod/base";
import { currentSandbox, type PodActual } from "../cri/pod-actual.ts";
import { VolumeLimitError } from "../volumes/csi-set-up.ts";
import type { MountedVolume } from "../volumes/mounted-volume.ts";
import { VolumeError } from "../volumes/volume-manager.ts";
import type { PodContext } from "./pod-context.ts";

export interface SetUpVolumesInput {
  readonly pod: Pod;
  readonly actual: PodActual;
  /** Told when the node has no room for a volume: the Pod is to fail, so that another node can have it. */
  readonly onNoRoom: (failure: { readonly reason: string; readonly message: string }) => unknown;
}

/** Makes a Pod's volumes ready. Every one that could not be is an Event; the failure is thrown then. */
export async function setUpVolumes(
  { pod, actual, onNoRoom }: SetUpVolumesInput,
  { volumes, hostIps, allocatable, events }: PodContext,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, MountedVolume>> {
  const facts = { podIps: currentSandbox(actual)?.ips ?? [], hostIps, allocatable };
  try {
    return await volumes.setUp(pod, facts, signal);
  } catch (error) {
    if (signal.aborted) throw error;
    const failures: unknown[] = error instanceof AggregateError ? error.errors : [error];
    for (const failure of failures) {
      const message = messageOf(failure);
      if (failure instanceof VolumeError && failure.cause instanceof VolumeLimitError) {
        onNoRoom({ reason: "VolumeAttachmentLimitExceeded", message });
      }
      events.warning(pod, "FailedMount", message);
    }
    throw error;
  }
}
