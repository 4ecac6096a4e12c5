import type { Stored, VolumeSnapshotContent } from "@tripod/api/kubernetes";
import { finalizers, groupHandleAnnotation, snapshotAnnotations } from "./snapshot-names.ts";

/** What is to be done about a content. */
export type ContentDecision =
  | { readonly kind: "none" }
  | { readonly kind: "hold" }
  /** Ask the driver for a snapshot of the volume; asked again, it answers with the one that it took. */
  | { readonly kind: "take"; readonly volume: string }
  /** Ask the driver whether the snapshot is ready. */
  | { readonly kind: "look"; readonly snapshot: string }
  /** It is ready: what marked it as unfinished goes. */
  | { readonly kind: "settle" }
  /** The storage goes, where `snapshot` names it, then the object. */
  | { readonly kind: "remove"; readonly snapshot: string | undefined };

export interface ContentFacts {
  /** The snapshot that it was made for is there. */
  readonly hasSnapshot: boolean;
  /** The driver can be asked after a snapshot that it has taken. */
  readonly canLook: boolean;
}

/** Pure: what a content needs next. */
export function decideContent(content: Stored<VolumeSnapshotContent>, facts: ContentFacts): ContentDecision {
  const { metadata, spec, status } = content;
  const marks = metadata.annotations ?? {};
  const isHeld = metadata.finalizers?.includes(finalizers.content) === true;
  const { volumeHandle, snapshotHandle = status?.snapshotHandle } = spec.source;
  const isUnanswered = marks[snapshotAnnotations.beingCreated] !== undefined && volumeHandle !== undefined;
  const isMember = marks[groupHandleAnnotation] !== undefined || status?.volumeGroupSnapshotHandle !== undefined;
  if (metadata.deletionTimestamp !== undefined) {
    if (!isHeld) return { kind: "none" };
    const mayGo = marks[snapshotAnnotations.beingDeleted] !== undefined || !facts.hasSnapshot;
    if (!mayGo) return { kind: "none" };
    // The driver may have taken it, and only it knows under which id.
    if (isUnanswered && snapshotHandle === undefined) return { kind: "take", volume: volumeHandle };
    // The storage of a member goes with its group.
    const isKept = spec.deletionPolicy !== "Delete" || isMember;
    return { kind: "remove", snapshot: isKept ? undefined : snapshotHandle };
  }
  const isBound = (spec.volumeSnapshotRef.uid ?? "") !== "";
  if (isBound && !isHeld) return { kind: "hold" };
  if (status?.readyToUse === true) return isUnanswered ? { kind: "settle" } : { kind: "none" };
  if (snapshotHandle === undefined) {
    if (isMember || volumeHandle === undefined || !isBound) return { kind: "none" };
    return { kind: "take", volume: volumeHandle };
  }
  // Without a way to ask, the same call tells how far it is; what was given by hand is taken to be ready.
  return volumeHandle !== undefined && !isMember && !facts.canLook
    ? { kind: "take", volume: volumeHandle }
    : { kind: "look", snapshot: snapshotHandle };
}
