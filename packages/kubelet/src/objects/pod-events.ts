import type { Pod } from "@tripod/api/kubernetes";

/** Tells what happens to Pods; `container` points the Event at one of the Pod's containers. */
export interface PodEvents {
  normal(pod: Pod, reason: string, message: string, container?: string): void;
  warning(pod: Pod, reason: string, message: string, container?: string): void;
}
