import type { PersistentVolumeClaim } from "@tripod/api/kubernetes";
import type { PodEvents } from "../objects/pod-events.ts";

export interface PlainEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

/** Tells what happens to volumes, to the Pods and the claims that they belong to, and to the node. */
export interface VolumeEvents extends PodEvents {
  claim(claim: PersistentVolumeClaim, event: PlainEvent): void;
  node(event: PlainEvent): void;
}
