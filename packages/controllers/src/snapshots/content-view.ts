import type { DeletionPolicy, KubernetesObject, ObjectReference, Stored } from "@tripod/api/kubernetes";
import type { ContentView } from "./decide-content.ts";
import type { SnapshotAnnotations } from "./snapshot-names.ts";

/** The part of a content's view that both kinds have alike. */
export function commonView(
  content: Stored<KubernetesObject> & { spec: { deletionPolicy: DeletionPolicy }; status?: { readyToUse?: boolean } },
  parts: { readonly annotations: SnapshotAnnotations; readonly finalizer: string; readonly reference: ObjectReference },
): Omit<ContentView, "isMade" | "hasHandle" | "isMember"> {
  const { metadata, spec, status } = content;
  const { beingCreated, beingDeleted } = parts.annotations;
  return {
    deletionTimestamp: metadata.deletionTimestamp,
    isHeld: metadata.finalizers?.includes(parts.finalizer) === true,
    isBound: (parts.reference.uid ?? "") !== "",
    deletionPolicy: spec.deletionPolicy,
    isReady: status?.readyToUse === true,
    isBeingCreated: metadata.annotations?.[beingCreated] !== undefined,
    isBeingDeleted: metadata.annotations?.[beingDeleted] !== undefined,
  };
}

/** The secret that a content was made with. */
export function deletionSecret({ metadata }: KubernetesObject, { secretName, secretNamespace }: SnapshotAnnotations) {
  const { [secretName]: name, [secretNamespace]: namespace } = metadata.annotations ?? {};
  return name === undefined || namespace === undefined ? undefined : { name, namespace };
}
