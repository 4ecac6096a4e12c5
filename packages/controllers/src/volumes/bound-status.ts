import { isDeepStrictEqual } from "node:util";
import type { PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus } from "@tripod/api/kubernetes";
import { preResizeCapacity } from "@tripod/csi/expansion";

/**
 * Pure: what the status of a claim that is bound to `volume` lacks; undefined when nothing. Sizes and attributes come from the volume once, when the
 * claim becomes bound: from then on its file system may be smaller than the volume, and whoever changes the volume says so.
 */
export function boundStatus(
  { status = {} }: PersistentVolumeClaim,
  { metadata, spec }: PersistentVolume,
): Partial<PersistentVolumeClaimStatus> | undefined {
  const accessModes = spec.accessModes ?? [];
  if (status.phase === "Bound")
    return isDeepStrictEqual(status.accessModes ?? [], accessModes) ? undefined : { accessModes };
  const storage = metadata.annotations?.[preResizeCapacity];
  const { volumeAttributesClassName: attributes } = spec;
  return {
    phase: "Bound",
    accessModes,
    ...(spec.capacity === undefined
      ? {}
      : { capacity: storage === undefined ? spec.capacity : { ...spec.capacity, storage } }),
    ...(attributes === undefined ? {} : { currentVolumeAttributesClassName: attributes }),
  };
}
