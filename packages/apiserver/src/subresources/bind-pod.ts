import { type Binding, type Pod, type Status, timeNow } from "@tripod/api/kubernetes";
import { badRequest, conflict, preconditionFailed } from "../http/api-error.ts";
import type { StoredObject } from "../registry/stored-object.ts";
import { pods } from "../resources/pod/pod.ts";
import { isDryRun, type ResourceRequest } from "../verbs/request.ts";

const bindings = { group: "", plural: "pods/binding" };

export const created: Status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };

/** POST pods/NAME/binding: gives the Pod its node, once. */
export async function bindPod(request: ResourceRequest, binding: Binding, old: StoredObject<Pod>): Promise<Status> {
  const { metadata, spec, status } = old.object;
  const { name = "", uid = "" } = metadata;
  if (binding.target?.kind && binding.target.kind !== "Node")
    throw badRequest(
      `target.kind: Unsupported value: ${JSON.stringify(binding.target.kind)}: supported values: "Node"`,
    );
  if (!binding.target?.name) throw badRequest("target.name: Required value");
  if (binding.metadata.uid && binding.metadata.uid !== uid)
    throw preconditionFailed(pods, name, { field: "UID", wanted: binding.metadata.uid, held: uid });
  if (metadata.deletionTimestamp !== undefined)
    throw conflict(bindings, name, `pod ${name} is being deleted, cannot be assigned to a host`);
  if (spec.nodeName)
    throw conflict(bindings, name, `pod ${name} is already assigned to node ${JSON.stringify(spec.nodeName)}`);
  if ((spec.schedulingGates ?? []).length > 0)
    throw conflict(bindings, name, `pod ${name} has non-empty .spec.schedulingGates`);
  const pod = structuredClone(old.object);
  pod.spec.nodeName = binding.target.name;
  pod.metadata.annotations = { ...pod.metadata.annotations, ...binding.metadata.annotations };
  const others = (status?.conditions ?? []).filter((each) => each.type !== "PodScheduled");
  const scheduled = { type: "PodScheduled", status: "True", lastTransitionTime: timeNow() };
  pod.status = { ...pod.status, conditions: [...others, scheduled] };
  if (!isDryRun(request)) await request.store.update(pods, pod, old);
  return created;
}
