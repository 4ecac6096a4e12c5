import type { ObjectReference, Pod } from "@tripod/api/kubernetes";
import type { EventRecorder } from "@tripod/kube";
import type { VolumeEvents } from "../volumes/volume-events.ts";

/** The part of a Pod that an Event points at: spec.containers{NAME} and the like. */
function fieldPathOf(pod: Pod, container: string): string | undefined {
  const { initContainers = [], ephemeralContainers = [] } = pod.spec ?? {};
  const containers = pod.spec?.containers ?? [];
  if (containers.some(({ name }) => name === container)) return `spec.containers{${container}}`;
  if (initContainers.some(({ name }) => name === container)) return `spec.initContainers{${container}}`;
  return ephemeralContainers.some(({ name }) => name === container)
    ? `spec.ephemeralContainers{${container}}`
    : undefined;
}

/** The reference to a Pod, or to one of its containers, for an Event. */
function podReference(pod: Pod, container?: string): ObjectReference {
  const { name = "", namespace = "default", uid = "", resourceVersion } = pod.metadata ?? {};
  const fieldPath = container === undefined ? undefined : fieldPathOf(pod, container);
  return {
    apiVersion: "v1",
    kind: "Pod",
    name,
    namespace,
    uid,
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(fieldPath === undefined ? {} : { fieldPath }),
  };
}

/** Writes what happens to Pods, their claims and the node as Events. */
export function podEvents(recorder: Pick<EventRecorder, "record">, nodeName: string): VolumeEvents {
  const record = (type: "Normal" | "Warning") => (pod: Pod, reason: string, message: string, container?: string) =>
    recorder.record({ about: podReference(pod, container), type, reason, message });
  return {
    normal: record("Normal"),
    warning: record("Warning"),
    claim: (claim, event) =>
      recorder.record({ about: { ...claim, apiVersion: "v1", kind: "PersistentVolumeClaim" }, ...event }),
    // As upstream has it: a node's Events are found by its name as the uid.
    node: (event) => recorder.record({ about: { kind: "Node", name: nodeName, uid: nodeName }, ...event }),
  };
}
