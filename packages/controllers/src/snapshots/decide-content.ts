import type { DeletionPolicy, Stored, VolumeSnapshotContent } from "@tripod/api/kubernetes";

/** What decides about a content, of a snapshot or of a group. */
export interface ContentView {
  readonly deletionTimestamp: Stored<VolumeSnapshotContent>["metadata"]["deletionTimestamp"];
  /** Its finalizer is there. */
  readonly isHeld: boolean;
  /** It knows the uid of its snapshot. */
  readonly isBound: boolean;
  readonly deletionPolicy: DeletionPolicy;
  /** The storage is made for it; else it was there before. */
  readonly isMade: boolean;
  /** It is known by what handle the driver has it. */
  readonly hasHandle: boolean;
  readonly isReady: boolean;
  /** It is made and deleted with its group. */
  readonly isMember: boolean;
  /** The driver was asked to take it and has not answered for good. */
  readonly isBeingCreated: boolean;
  /** Its snapshot is being deleted, so that it may go. */
  readonly isBeingDeleted: boolean;
}

export type ContentDecision =
  | "none"
  | "hold"
  /** Ask the driver to take it; asked again, it answers with the one that it took. */
  | "take"
  /** Ask the driver whether it is ready. */
  | "look"
  /** It is ready: what marked it as unfinished goes. */
  | "settle"
  /** The storage goes, then the object. */
  | "remove"
  /** The object goes alone. */
  | "release";

export interface ContentFacts {
  /** The snapshot that it was made for is there. */
  readonly hasOwner: boolean;
  /** The driver can be asked after what it has taken. */
  readonly canLook: boolean;
}

/** Pure: what a content needs next. */
export function decideContent(content: ContentView, facts: ContentFacts): ContentDecision {
  const { isHeld, isBound, isMade, hasHandle, isMember } = content;
  const isUnanswered = content.isBeingCreated && isMade;
  if (content.deletionTimestamp !== undefined) {
    if (!isHeld || (!content.isBeingDeleted && facts.hasOwner)) return "none";
    // The driver may have taken it, and only it knows under which id.
    if (isUnanswered && !hasHandle) return "take";
    return content.deletionPolicy === "Delete" && hasHandle && !isMember ? "remove" : "release";
  }
  if (isBound && !isHeld) return "hold";
  if (content.isReady) return isUnanswered ? "settle" : "none";
  if (!hasHandle) {
    // Nobody waits for it any more; what was begun is brought to its end, so that it is known.
    const isWanted = !content.isBeingDeleted || isUnanswered;
    return isMade && isBound && !isMember && isWanted ? "take" : "none";
  }
  if (facts.canLook || !isMade) return "look";
  // Without a way to ask, the same call tells how far it is; of a member, its group does.
  return isMember ? "none" : "take";
}
