import type { Pod, Volume } from "@tripod/api/kubernetes";
import { allContainers } from "../pods/pod-facts.ts";
import { claimNameOf } from "./claim-name.ts";

/** The volumes that any container of the Pod mounts or maps, but for images: those are pulled with the containers' own. */
export function usedVolumes(pod: Pod): Volume[] {
  const used = new Set(
    allContainers(pod).flatMap(({ volumeMounts = [], volumeDevices = [] }) =>
      [...volumeMounts, ...volumeDevices].map(({ name }) => name),
    ),
  );
  return (pod.spec?.volumes ?? []).filter(({ name, image }) => used.has(name) && image === undefined);
}

/**
 * Whether the Pod's one mount of the volume's claim is read-only: when the claim is so under each of its names that is used. Under which
 * name a container sees it is a matter of the container's mounts.
 */
export function mountsClaimReadOnly(pod: Pod, volume: Volume): boolean {
  const claim = claimNameOf(pod, volume);
  return usedVolumes(pod).every(
    (each) => claimNameOf(pod, each) !== claim || each.persistentVolumeClaim?.readOnly === true,
  );
}
