import {
  compareQuantities,
  labelRequirements,
  matchesLabels,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Stored,
} from "@tripod/api/kubernetes";
import { refersTo } from "./volume-state.ts";

export interface MatchOptions {
  /** Whether the volume can be reached from where it is wanted; all can unless told. */
  readonly reaches?: (volume: PersistentVolume) => boolean;
  /** Only a volume that already refers to the claim. */
  readonly reservedOnly?: boolean;
}

/** Why a volume cannot serve a claim, whoever it is reserved for; undefined when it can. */
export function mismatch(claim: PersistentVolumeClaim, volume: PersistentVolume): string | undefined {
  if ((volume.spec.volumeMode ?? "Filesystem") !== (claim.spec.volumeMode ?? "Filesystem"))
    return "incompatible volumeMode";
  if ((volume.spec.storageClassName ?? "") !== (claim.spec.storageClassName ?? ""))
    return "storageClassName does not match";
  const missing = (claim.spec.accessModes ?? []).find((mode) => volume.spec.accessModes?.includes(mode) !== true);
  if (missing !== undefined) return "incompatible accessMode";
  const wanted = claim.spec.resources?.requests?.storage ?? "0";
  if (compareQuantities(volume.spec.capacity?.storage ?? "0", wanted) < 0) return "requested PV is too small";
  return undefined;
}

/** The volume for a claim among those that are free: one reserved for it, else the smallest that is large enough. */
export function matchVolume(
  claim: PersistentVolumeClaim,
  volumes: readonly Stored<PersistentVolume>[],
  options: MatchOptions = {},
): Stored<PersistentVolume> | undefined {
  const requirements = labelRequirements(claim.spec.selector);
  let best: Stored<PersistentVolume> | undefined;
  for (const volume of volumes) {
    if (volume.metadata.deletionTimestamp !== undefined || mismatch(claim, volume) !== undefined) continue;
    if (options.reaches?.(volume) === false) continue;
    if (refersTo(volume.spec.claimRef, claim)) return volume;
    if (volume.spec.claimRef !== undefined || options.reservedOnly === true) continue;
    // A volume that was used before (Released, Failed) is not given out again.
    if (volume.status?.phase !== "Available") continue;
    if (requirements !== undefined && !matchesLabels(requirements, volume.metadata.labels)) continue;
    if (best === undefined || isSmaller(volume, best)) best = volume;
  }
  return best;
}

function isSmaller(a: Stored<PersistentVolume>, b: Stored<PersistentVolume>): boolean {
  const order = compareQuantities(a.spec.capacity?.storage ?? "0", b.spec.capacity?.storage ?? "0");
  return order < 0 || (order === 0 && a.metadata.name < b.metadata.name);
}
