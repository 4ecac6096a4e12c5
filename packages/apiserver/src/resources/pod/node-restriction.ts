import type { Pod } from "@tripod/api/kubernetes";
import { forbidden } from "../../http/api-error.ts";
import type { User } from "../../registry/resource.ts";

const podName = { group: "", plural: "pods" } as const;
const prefix = "system:node:";

/** Refuses a kubelet that lays hands on a Pod of another node. Everybody else passes. */
export function checkNodeOwns(pod: Pod, user: User, doing: string): void {
  if (!user.groups.includes("system:nodes")) return;
  const node = user.name.startsWith(prefix) ? user.name.slice(prefix.length) : "";
  if (node !== "" && pod.spec.nodeName === node) return;
  const why = `node ${JSON.stringify(node)} can only ${doing} pods with spec.nodeName set to itself`;
  throw forbidden(podName, pod.metadata.name ?? "", why);
}
