import {
  compareQuantities,
  labelRequirements,
  matchesLabels,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Stored,
} from "@tripod/api/kubernetes";
import type { VolumePool } from "./volume-pool.ts";

export interface MatchOptions {
  /** Whether the volume can be reached from where it is wanted; all can unless told. */
  readonly reaches?: (volume: PersistentVolume) => boolean;
  /** Only a volume that already refers to the claim. */
  readonly reservedOnly?: boolean;
  /** Names of volumes that others of the same Pod get. */
  readonly taken?: ReadonlySet<string>;
}

/** Whether a volume is a device, or a file system, as the claim wants it. */
export const hasModeOf = (claim: PersistentVolumeClaim, volume: PersistentVolume): boolean =>
  (volume.spec.volumeMode ?? "Filesystem") === (claim.spec.volumeMode ?? "Filesystem");

/** Why a volume cannot serve a claim, whatever its class; undefined when it can. */
function misfit(claim: PersistentVolumeClaim, volume: PersistentVolume): string | undefined {
  if (volume.metadata.deletionTimestamp !== undefined)
    return `the volume is marked for deletion "${volume.metadata.name}"`;
  const wanted = claim.spec.resources?.requests?.storage ?? "0";
  if (compareQuantities(volume.spec.capacity?.storage ?? "0", wanted) < 0) return "requested PV is too small";
  if ((volume.spec.volumeAttributesClassName ?? "") !== (claim.spec.volumeAttributesClassName ?? ""))
    return "volumeAttributesClassName does not match";
  if (!hasModeOf(claim, volume)) return "incompatible volumeMode";
  const missing = (claim.spec.accessModes ?? []).find((mode) => volume.spec.accessModes?.includes(mode) !== true);
  return missing === undefined ? undefined : "incompatible accessMode";
}

/** Why a volume cannot serve a claim that names it; undefined when it can. */
export function mismatch(claim: PersistentVolumeClaim, volume: PersistentVolume): string | undefined {
  return (volume.spec.storageClassName ?? "") === (claim.spec.storageClassName ?? "")
    ? misfit(claim, volume)
    : "storageClassName does not match";
}

/**
 * The volume for a claim: one reserved for it, of whatever class, else the smallest free one that is large enough. A reserved one that cannot
 * be reached leaves none.
 */
export function matchVolume(
  claim: PersistentVolumeClaim,
  pool: VolumePool,
  { reaches = () => true, reservedOnly = false, taken = new Set() }: MatchOptions = {},
): Stored<PersistentVolume> | undefined {
  const reserved = pool.reservedFor(claim).find((volume) => misfit(claim, volume) === undefined);
  if (reserved !== undefined) return reaches(reserved) ? reserved : undefined;
  if (reservedOnly) return undefined;
  const requirements = labelRequirements(claim.spec.selector);
  for (const volume of pool.freeFor(claim)) {
    if (taken.has(volume.metadata.name) || !reaches(volume)) continue;
    if (requirements === undefined || matchesLabels(requirements, volume.metadata.labels)) return volume;
  }
  return undefined;
}
