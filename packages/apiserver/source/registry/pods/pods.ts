import type { Pod } from "@tripod/api/kubernetes";
import { randomSuffix } from "../../verbs/random-suffix.ts";
import type { ResourceDefinition } from "../resource.ts";
import { podColumns } from "./pod-columns.ts";
import { defaultPod, qosClass } from "./pod-defaults.ts";
import { asPod } from "./pod-types.ts";
import { validatePod, validatePodUpdate } from "./pod-validation.ts";
import { admitRuntimeClass } from "./runtime-class-admission.ts";
import { admitServiceAccount } from "./service-account-admission.ts";

const core = (kind: string) => ({ group: "", version: "v1", kind });

/** Pods: bound by their binding, run by a kubelet, gone after their grace period. */
export const pods: ResourceDefinition = {
  ...core("Pod"),
  plural: "pods",
  singular: "pod",
  shortNames: ["po"],
  categories: ["all"],
  namespaced: true,
  nameRule: "subdomain",
  storageName: "pods",
  columns: podColumns,
  hasStatus: true,
  subresources: [
    { name: "status", verbs: ["get", "patch", "update"] },
    { name: "log", verbs: ["get"] },
    { name: "exec", kind: core("PodExecOptions"), verbs: ["create", "get"] },
    { name: "attach", kind: core("PodAttachOptions"), verbs: ["create", "get"] },
    { name: "portforward", kind: core("PodPortForwardOptions"), verbs: ["create", "get"] },
    { name: "binding", kind: core("Binding"), verbs: ["create"] },
    { name: "eviction", kind: { group: "policy", version: "v1", kind: "Eviction" }, verbs: ["create"] },
  ],
  selectableFields: (object) => {
    const { spec, status } = asPod(object);
    return {
      "spec.nodeName": spec?.nodeName ?? "",
      "spec.restartPolicy": spec?.restartPolicy ?? "",
      "spec.schedulerName": spec?.schedulerName ?? "",
      "spec.serviceAccountName": spec?.serviceAccountName ?? "",
      "spec.hostNetwork": String(spec?.hostNetwork ?? false),
      "status.phase": status?.phase ?? "",
      "status.podIP": status?.podIP ?? "",
    };
  },
  prepareCreate(object, { store }) {
    const pod = asPod(object);
    defaultPod(pod);
    admitServiceAccount(pod, store, randomSuffix);
    admitRuntimeClass(pod, store);
    pod.status = { phase: "Pending", qosClass: qosClass(pod) };
  },
  prepareUpdate: (object) => defaultPod(asPod(object)),
  validate: (object, errors) => validatePod(asPod(object), errors),
  validateUpdate: (object, old, errors) => validatePodUpdate(asPod(object), asPod(old), errors),
  gracePeriodSeconds: (object, asked) => podGrace(asPod(object), asked),
};

/** A Pod that no kubelet runs, or that has ended, is removed at once; a running one gets its time. */
function podGrace(pod: Pod, asked: number | undefined): number {
  if (!pod.spec?.nodeName || pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed") return 0;
  return Math.max(0, asked ?? pod.spec.terminationGracePeriodSeconds ?? 30);
}
