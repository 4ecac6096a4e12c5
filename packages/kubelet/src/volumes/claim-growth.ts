import type { PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimCondition } from "@tripod/api/kubernetes";
import { nodeExpansionNotRequired, noGrowth } from "@tripod/csi/expansion";
import { bytesOf } from "../pods/quantities.ts";
import { timestampOf } from "../pods/timestamp.ts";

/** What a node has to do about the size of a volume that it holds. */
export type Growth =
  /** Nothing now. */
  | { readonly kind: "none" }
  /** The volume has the size, and no node was needed for it. */
  | { readonly kind: "complete" }
  /** Call the driver. `recorded`: the claim already says the new size, for another node has grown the volume. */
  | { readonly kind: "expand"; readonly newSize: string; readonly recorded: boolean };

/**
 * Compares a claim and its PersistentVolume with the size that the volume has here (undefined for one that was just mounted: then the
 * claim's). Upstream's rules, those for resizers that write allocatedResources and those for older ones. Pure.
 */
export function planGrowth(claim: PersistentVolumeClaim, pv: PersistentVolume, heldBytes: number | undefined): Growth {
  const { capacity = {}, allocatedResources, allocatedResourceStatuses } = claim.status ?? {};
  const volumeSize = pv.spec?.capacity?.["storage"];
  const claimBytes = bytesOf(capacity["storage"]) ?? 0;
  if ((bytesOf(volumeSize) ?? 0) <= (heldBytes ?? claimBytes)) return { kind: "none" };
  const status = allocatedResourceStatuses?.["storage"];
  const newSize = String(allocatedResources?.["storage"] ?? volumeSize);
  const recorded = claimBytes >= (bytesOf(newSize) ?? 0) && status === undefined;
  const expand: Growth = { kind: "expand", newSize, recorded };
  if (status === undefined && allocatedResources === undefined) return expand;
  if (recorded) {
    const shared = claim.spec?.accessModes?.includes("ReadWriteMany") === true;
    return shared && claim.metadata?.annotations?.[nodeExpansionNotRequired] === undefined
      ? expand
      : { kind: "complete" };
  }
  return status === "NodeResizePending" || status === "NodeResizeInProgress" ? expand : { kind: "none" };
}

type StatusPatch = Record<string, unknown>;

/** What changes in the claim's status when the node begins. Pure. */
export const growthBegun = (): StatusPatch => ({ allocatedResourceStatuses: { storage: "NodeResizeInProgress" } });

/** What changes when the volume has its new size: the capacity is that, and nothing of a resize is left. Pure. */
export function growthDone(claim: PersistentVolumeClaim, newSize: string): StatusPatch {
  const { conditions = [], allocatedResourceStatuses } = claim.status ?? {};
  return {
    capacity: { storage: newSize },
    ...(allocatedResourceStatuses === undefined
      ? {}
      : {
          allocatedResourceStatuses: Object.keys(allocatedResourceStatuses).length > 1 ? { storage: null } : null,
        }),
    conditions: conditions.filter(({ type }) => !Object.hasOwn(noGrowth, type)),
  };
}

/** What changes when the driver has failed for good; `infeasible` leaves it to the controller, which may go back to a smaller size. Pure. */
export function growthFailed(
  claim: PersistentVolumeClaim,
  message: string,
  { infeasible, nowMs }: { readonly infeasible: boolean; readonly nowMs: number },
): StatusPatch {
  const conditions = claim.status?.conditions ?? [];
  const condition: PersistentVolumeClaimCondition = {
    type: "NodeResizeError",
    status: "True",
    lastTransitionTime: timestampOf(nowMs),
    message: `failed to expand pvc with ${message}`,
  };
  const known = conditions.some(({ type, status }) => type === "NodeResizeError" && status === "True");
  const others = conditions.filter(({ type }) => type !== "NodeResizeError");
  return {
    ...(infeasible ? { allocatedResourceStatuses: { storage: "NodeResizeInfeasible" } } : {}),
    conditions: known ? conditions : [...others, condition],
  };
}
