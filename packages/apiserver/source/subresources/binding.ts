import type { Binding, Pod } from "@tripod/api/kubernetes";
import { timeNow } from "@tripod/api/kubernetes";
import { badRequest, conflict } from "../http/api-error.ts";
import type { ApiObject } from "../registry/api-object.ts";
import type { ResourceRequest } from "../verbs/request.ts";

/** POST pods/NAME/binding: gives the Pod its node, once. */
export function bind(request: ResourceRequest, binding: Binding, old: Pod & ApiObject): object {
  const { resource, store } = request;
  const name = old.metadata.name ?? "";
  if (binding.target?.kind && binding.target.kind !== "Node")
    throw badRequest(`binding target kind ${binding.target.kind} is not supported: a Pod is bound to a Node`);
  if (!binding.target?.name) throw badRequest("target.name: Required value");
  if (binding.metadata.uid && binding.metadata.uid !== old.metadata.uid)
    throw conflict(
      resource,
      name,
      `Precondition failed: UID in precondition: ${binding.metadata.uid}, UID in object meta: ${old.metadata.uid}`,
    );
  if (old.metadata.deletionTimestamp !== undefined)
    throw conflict(
      { group: "", plural: "pods/binding" },
      name,
      `pod ${name} is being deleted, cannot be assigned to a host`,
    );
  if (old.spec?.nodeName)
    throw conflict(
      { group: "", plural: "pods/binding" },
      name,
      `pod ${name} is already assigned to node ${JSON.stringify(old.spec.nodeName)}`,
    );
  const pod = structuredClone(old);
  pod.spec = { ...pod.spec, containers: pod.spec?.containers ?? [], nodeName: binding.target.name };
  const { annotations } = binding.metadata;
  if (annotations !== undefined) pod.metadata.annotations = { ...pod.metadata.annotations, ...annotations };
  const others = (pod.status?.conditions ?? []).filter((each) => each.type !== "PodScheduled");
  pod.status = {
    ...pod.status,
    conditions: [...others, { type: "PodScheduled", status: "True", lastTransitionTime: timeNow() }],
  };
  store.update(resource, pod, old);
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };
}
