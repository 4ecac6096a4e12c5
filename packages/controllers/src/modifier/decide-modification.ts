import type { PersistentVolume, PersistentVolumeClaim } from "@tripod/api/kubernetes";
import { isBoundTo } from "../volumes/volume-state.ts";

/** What is to be done about the attributes of a claim's volume. */
export type ModificationDecision =
  | { readonly kind: "none" }
  /** Its user takes back a wish that has not been fulfilled. */
  | { readonly kind: "cancel" }
  /** Have the driver change it, or wait for the class. `isNew`: this is the user's wish, and not the end of what was begun. */
  | { readonly kind: "modify" | "wait"; readonly target: string; readonly isNew: boolean };

export interface ModificationFacts {
  /** The last try has failed for certain, so that other attributes may be asked for. */
  readonly hasFailed: boolean;
  isThere(attributesClass: string): boolean;
}

/** Whether a claim is bound to this volume, and its attributes are not all that was asked for. */
export function wantsModification(claim: PersistentVolumeClaim, volume: PersistentVolume): boolean {
  const { currentVolumeAttributesClassName: current = "", modifyVolumeStatus } = claim.status ?? {};
  if (!isBoundTo(claim, volume)) return false;
  return modifyVolumeStatus !== undefined || (claim.spec.volumeAttributesClassName ?? "") !== current;
}

/** Pure: what a claim that wants other attributes needs next. What may be under way is brought to its end before. */
export function decideModification(claim: PersistentVolumeClaim, facts: ModificationFacts): ModificationDecision {
  const wish = claim.spec.volumeAttributesClassName ?? "";
  const { modifyVolumeStatus: begun, conditions = [] } = claim.status ?? {};
  const isUnderWay = begun?.status === "InProgress";
  if (wish === "" && !isUnderWay)
    return conditions.some(({ type }) => type === "ModifyingVolume") ? { kind: "cancel" } : { kind: "none" };
  const goesOn = isUnderWay && (!facts.hasFailed || wish === "");
  const target = goesOn ? (begun.targetVolumeAttributesClassName ?? "") : wish;
  return { kind: facts.isThere(target) ? "modify" : "wait", target, isNew: !goesOn };
}
