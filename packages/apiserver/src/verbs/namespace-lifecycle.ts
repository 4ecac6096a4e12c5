import type { Namespace } from "@tripod/api/kubernetes";
import { ApiError, notFound } from "../http/api-error.ts";
import { qualifiedName } from "../registry/resource.ts";
import type { ResourceRequest } from "./request.ts";

const namespaces = { group: "", version: "v1", kind: "Namespace", plural: "namespaces", namespaced: false } as const;

/** Refuses what would be created in a namespace that is not there, or that is on its way out. */
export async function checkNamespace(request: ResourceRequest, namespace: string, name: string): Promise<void> {
  const found = await request.store.find<Namespace>(namespaces, undefined, namespace);
  if (found === undefined) throw notFound(namespaces, namespace);
  if (found.object.metadata.deletionTimestamp === undefined) return;
  const { resource } = request;
  throw new ApiError("permission-denied", {
    code: 403,
    reason: "Forbidden",
    message: `${qualifiedName(resource)} ${JSON.stringify(name)} is forbidden: unable to create new content in namespace ${namespace} because it is being terminated`,
    details: {
      name,
      ...(resource.group === "" ? {} : { group: resource.group }),
      kind: resource.plural,
      causes: [
        {
          reason: "NamespaceTerminating",
          message: `namespace ${namespace} is being terminated`,
          field: "metadata.namespace",
        },
      ],
    },
  });
}
