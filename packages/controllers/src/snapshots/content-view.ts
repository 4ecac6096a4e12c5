import type { Stored } from "@tripod/api/kubernetes";
import type { Content, ContentKind } from "./content-kind.ts";
import type { ContentView } from "./decide-content.ts";

/** What decides about a content of this kind. */
export function contentView<C extends Content>(kind: ContentKind<C>, content: Stored<C>): ContentView {
  const { metadata, spec, status } = content;
  const { beingCreated, beingDeleted } = kind.annotations;
  return {
    deletionTimestamp: metadata.deletionTimestamp,
    isHeld: metadata.finalizers?.includes(kind.finalizer) === true,
    isBound: (kind.referenceOf(content).uid ?? "") !== "",
    deletionPolicy: spec.deletionPolicy,
    isMade: kind.isMade(content),
    hasHandle: kind.handleOf(content) !== undefined,
    isReady: status?.readyToUse === true,
    isMember: kind.isMember(content),
    isBeingCreated: metadata.annotations?.[beingCreated] !== undefined,
    isBeingDeleted: metadata.annotations?.[beingDeleted] !== undefined,
  };
}
