import { matchesFields, matchesLabels, parseFieldSelector, parseLabelSelector } from "@tripod/api/kubernetes";
import { badRequest } from "../http/api-error.ts";
import type { ApiObject } from "../registry/api-object.ts";
import type { ResourceDefinition } from "../registry/resource.ts";

/** What a list, watch or deletecollection selects, from its labelSelector and fieldSelector. */
export function selection(resource: ResourceDefinition, query: URLSearchParams): (object: ApiObject) => boolean {
  const labels = parseLabelSelector(query.get("labelSelector") ?? "");
  const fields = parseFieldSelector(query.get("fieldSelector") ?? "");
  if (labels.length === 0 && fields.length === 0) return () => true;
  const known = Object.keys(fieldsOf(resource, { metadata: {} }));
  for (const { field } of fields) {
    if (!known.includes(field))
      throw badRequest(
        `field label not supported: ${field}; ${resource.plural} can be selected by ${known.join(", ")}`,
      );
  }
  return (object) => {
    if (!matchesLabels(labels, object.metadata.labels)) return false;
    if (fields.length === 0) return true;
    const values = fieldsOf(resource, object);
    return matchesFields(fields, (field) => values[field] ?? "");
  };
}

const fieldsOf = (resource: ResourceDefinition, object: ApiObject): Readonly<Record<string, string>> => ({
  "metadata.name": object.metadata.name ?? "",
  ...(resource.namespaced ? { "metadata.namespace": object.metadata.namespace ?? "" } : {}),
  ...resource.selectableFields?.(object),
});
