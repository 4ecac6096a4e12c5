import type { Pod } from "@tripod/api/kubernetes";
import { defineResource, type GracePeriod } from "../../registry/resource.ts";
import { admitPod } from "./admit-pod.ts";
import { defaultNewPod, defaultPod } from "./default-pod.ts";
import { checkNodeOwns } from "./node-restriction.ts";
import { podColumns } from "./pod-columns.ts";
import { qosClass } from "./qos-class.ts";
import { validatePod } from "./validate-pod.ts";
import { validatePodUpdate } from "./validate-pod-update.ts";

const core = (kind: string) => ({ group: "", version: "v1", kind });

/** Pods: bound by their binding, run by a kubelet, gone after their grace period. */
export const pods = defineResource<Pod>({
  ...core("Pod"),
  plural: "pods",
  singular: "pod",
  shortNames: ["po"],
  categories: ["all"],
  namespaced: true,
  nameRule: "subdomain",
  hasStatus: true,
  hasGeneration: true,
  columns: podColumns,
  subresources: [
    { name: "log", verbs: ["get"] },
    { name: "exec", kind: core("PodExecOptions"), verbs: ["create", "get"] },
    { name: "attach", kind: core("PodAttachOptions"), verbs: ["create", "get"] },
    { name: "portforward", kind: core("PodPortForwardOptions"), verbs: ["create", "get"] },
    { name: "binding", kind: core("Binding"), verbs: ["create"] },
    { name: "eviction", kind: { group: "policy", version: "v1", kind: "Eviction" }, verbs: ["create"] },
  ],
  selectableFields: ({ spec, status }) => ({
    "spec.nodeName": spec?.nodeName ?? "",
    "spec.restartPolicy": spec?.restartPolicy ?? "",
    "spec.schedulerName": spec?.schedulerName ?? "",
    "spec.serviceAccountName": spec?.serviceAccountName ?? "",
    "spec.hostNetwork": String(spec?.hostNetwork ?? false),
    "status.phase": status?.phase ?? "",
    "status.podIP": status?.podIP ?? "",
    "status.nominatedNodeName": status?.nominatedNodeName ?? "",
  }),
  applyDefaults: defaultPod,
  async admitCreate(pod, { store, user }) {
    checkNodeOwns(pod, user, "create");
    defaultNewPod(pod);
    await admitPod(pod, store);
  },
  prepareCreate(pod) {
    pod.status = { phase: "Pending", qosClass: qosClass(pod) };
  },
  prepareUpdate(pod, old) {
    // What admission gave it, and a manifest that is applied again does not name.
    if (old.spec.tolerations !== undefined) pod.spec.tolerations ??= old.spec.tolerations;
  },
  prepareStatusUpdate(pod, old, { user }) {
    checkNodeOwns(old, user, "update the status of");
    // Decided when the Pod was made.
    if (pod.status !== undefined && old.status?.qosClass !== undefined) pod.status.qosClass = old.status.qosClass;
  },
  async admitDelete(pod, { user }) {
    checkNodeOwns(pod, user, "delete");
  },
  validate: validatePod,
  validateUpdate: validatePodUpdate,
  gracePeriodSeconds: podGrace,
});

/** A Pod that no kubelet runs, or that has ended, is removed at once; a running one gets its time. */
function podGrace({ spec, status }: Pod, { asked }: GracePeriod): number {
  if (!spec.nodeName || status?.phase === "Succeeded" || status?.phase === "Failed") return 0;
  return Math.max(0, asked ?? spec.terminationGracePeriodSeconds ?? 30);
}
