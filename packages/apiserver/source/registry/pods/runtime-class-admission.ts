import type { Pod, RuntimeClass } from "@tripod/api/kubernetes";
import { forbidden } from "../../http/api-error.ts";
import type { ObjectStore } from "../object-store.ts";

const runtimeClasses = {
  group: "node.k8s.io",
  plural: "runtimeclasses",
  storageName: "runtimeclasses",
  namespaced: false,
} as const;

/** Gives a Pod the overhead and the scheduling rules of its RuntimeClass; one that is not there is refused. */
export function admitRuntimeClass(pod: Pod, store: ObjectStore): void {
  const name = pod.spec?.runtimeClassName;
  if (!name || pod.spec === undefined) return;
  const found = store.find(runtimeClasses, undefined, name) as RuntimeClass | undefined; // stored under that resource
  if (found === undefined) throw forbidden(`pod rejected: RuntimeClass ${JSON.stringify(name)} not found`);
  if (found.overhead?.podFixed !== undefined) pod.spec.overhead = found.overhead.podFixed;
  if (found.scheduling?.nodeSelector !== undefined)
    pod.spec.nodeSelector = { ...pod.spec.nodeSelector, ...found.scheduling.nodeSelector };
  if (found.scheduling?.tolerations !== undefined)
    pod.spec.tolerations = [...(pod.spec.tolerations ?? []), ...found.scheduling.tolerations];
}
