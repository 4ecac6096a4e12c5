import type { PersistentVolumeClaim } from "@tripod/api/kubernetes";
import type { PodEvents } from "../objects/pod-events.ts";

/** Tells what happens to volumes, to the Pods and the claims that they belong to. */
export interface VolumeEvents extends PodEvents {
  claim(
    claim: PersistentVolumeClaim,
    event: { readonly type: "Normal" | "Warning"; readonly reason: string; readonly message: string },
  ): void;
}
