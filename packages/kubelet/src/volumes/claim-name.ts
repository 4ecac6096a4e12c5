import type { Pod, Volume } from "@tripod/api/kubernetes";
import { nameOf } from "../pods/pod-facts.ts";

/** The name of the claim that a volume refers to: its own words, or the Pod's and the volume's name for a generic ephemeral one. */
export function claimNameOf(pod: Pod, volume: Volume): string | undefined {
  if (volume.persistentVolumeClaim !== undefined) return volume.persistentVolumeClaim.claimName;
  return volume.ephemeral === undefined ? undefined : `${nameOf(pod)}-${volume.name}`;
}
