import type { ObjectReference, Pod } from "@tripod/api/kubernetes";
import type { EventRecorder } from "@tripod/kube";
import type { PodEvents } from "./pod-events.ts";

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

/** Writes what happens to Pods as Events. */
export function podEvents(recorder: Pick<EventRecorder, "record">): PodEvents {
  const record = (type: "Normal" | "Warning") => (pod: Pod, reason: string, message: string, container?: string) =>
    recorder.record({ about: podReference(pod, container), type, reason, message });
  return { normal: record("Normal"), warning: record("Warning") };
}
