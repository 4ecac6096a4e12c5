import {
  compareQuantities,
  type PersistentVolume,
  type PersistentVolumeClaim,
  quantityValue,
} from "@tripod/api/kubernetes";
import { claimGrowth } from "@tripod/csi/expansion";
import { isBoundTo } from "../volumes/volume-state.ts";

/** What is to be done about a claim that asks for more than it has. */
export type ExpansionDecision =
  /** Nothing here: its nodes are at work, or will be. */
  | { readonly kind: "none" }
  /** Have the driver make the volume so large. `isNew`: it was last asked for another size. */
  | { readonly kind: "expand"; readonly sizeBytes: bigint; readonly isNew: boolean };

export interface ExpansionFacts {
  /** The last try has failed for certain, so that another size may be asked for. */
  readonly hasFailed: boolean;
  /** The driver's controller does the work, and not the nodes alone. */
  readonly byController: boolean;
}

/** Whether a claim is bound to this volume and asks for more than its Pods have. */
export function wantsGrowth(claim: PersistentVolumeClaim, volume: PersistentVolume): boolean {
  const { requested, actual } = claimGrowth(claim);
  return isBoundTo(claim, volume) && actual !== undefined && compareQuantities(requested, actual) > 0;
}

/**
 * Pure: what a claim that wants growth needs next. What was once asked of a driver is first brought to its end, unless that has failed for
 * certain: a user who asked for too much may then ask for less.
 */
export function decideExpansion(
  claim: PersistentVolumeClaim,
  volume: PersistentVolume,
  { hasFailed, byController }: ExpansionFacts,
): ExpansionDecision {
  const { requested, allocated = requested, state } = claimGrowth(claim);
  const volumeSize = volume.spec.capacity?.storage ?? "0";
  const isGrown = compareQuantities(volumeSize, requested) >= 0;
  const expand = (size: string): ExpansionDecision => ({
    kind: "expand",
    sizeBytes: quantityValue(size),
    isNew: claim.status?.allocatedResources?.storage === undefined || compareQuantities(allocated, size) !== 0,
  });
  switch (state) {
    case "NodeResizePending":
    case "NodeResizeInProgress":
      return isGrown || compareQuantities(volumeSize, allocated) >= 0 ? { kind: "none" } : expand(allocated);
    case "NodeResizeInfeasible":
      // The driver says anew whether nodes have work to do, and they try again.
      return expand(isGrown && !byController ? requested : allocated);
    case "ControllerResizeInProgress":
      return expand(hasFailed && !isGrown ? requested : allocated);
    case "ControllerResizeInfeasible":
      return expand(isGrown ? allocated : requested);
    case undefined: {
      if (!isGrown) return expand(requested);
      const isPending = claim.status?.conditions?.some(({ type }) => type === "FileSystemResizePending") === true;
      return claim.status?.allocatedResources === undefined && isPending ? { kind: "none" } : expand(allocated);
    }
  }
}
