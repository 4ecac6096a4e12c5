import {
  type KubernetesObject,
  matchesFields,
  matchesLabels,
  parseFieldSelector,
  parseLabelSelector,
} from "@tripod/api/kubernetes";
import { badRequest } from "../http/api-error.ts";
import type { Resource } from "../registry/resource.ts";

/** What a list, watch or deletecollection selects. */
export interface Selection {
  /** Everything is selected: objects need not be looked at. */
  readonly isAll: boolean;
  matches(object: KubernetesObject): boolean;
}

const fieldsOf = (resource: Resource, object: KubernetesObject): Readonly<Record<string, string>> => ({
  "metadata.name": object.metadata.name ?? "",
  ...(resource.namespaced ? { "metadata.namespace": object.metadata.namespace ?? "" } : {}),
  ...resource.selectableFields?.(object),
});

/** An object without anything in it, for asking which fields can be selected by. */
const nothing: KubernetesObject = { metadata: {} };

/** Reads labelSelector and fieldSelector; `name` is that of the path, where a single object is watched. */
export function selectionOf(resource: Resource, query: URLSearchParams, name?: string): Selection {
  const labels = parseLabelSelector(query.get("labelSelector") ?? "");
  const fields = parseFieldSelector(query.get("fieldSelector") ?? "");
  if (name !== undefined) fields.push({ field: "metadata.name", operator: "=", value: name });
  if (labels.length === 0 && fields.length === 0) return { isAll: true, matches: () => true };
  const known = fields.length === 0 ? {} : fieldsOf(resource, nothing);
  for (const { field } of fields) {
    if (!Object.hasOwn(known, field)) throw badRequest(`field label not supported: ${field}`);
  }
  return {
    isAll: false,
    matches(object) {
      if (!matchesLabels(labels, object.metadata.labels)) return false;
      if (fields.length === 0) return true;
      const values = fieldsOf(resource, object);
      return matchesFields(fields, (field) => values[field] ?? "");
    },
  };
}
