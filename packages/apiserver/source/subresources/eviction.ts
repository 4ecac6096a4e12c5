import type { Eviction } from "@tripod/api/kubernetes";
import type { ApiObject } from "../registry/api-object.ts";
import { remove } from "../verbs/delete.ts";
import type { ResourceRequest } from "../verbs/request.ts";

/** POST pods/NAME/eviction: deletes the Pod with its grace period. */
export function evict(request: ResourceRequest, body: ApiObject, pod: ApiObject): object {
  const { deleteOptions } = body as Eviction & ApiObject; // decoded as one
  remove(request, pod, deleteOptions ?? {});
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };
}
