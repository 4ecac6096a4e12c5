import { apiVersionOf } from "@tripod/api/kubernetes";
import type { Format } from "../http/negotiate.ts";
import type { ApiObject } from "../registry/api-object.ts";
import type { ObjectPage } from "../registry/object-store.ts";
import type { ResourceDefinition } from "../registry/resource.ts";
import { toTable } from "../table/table.ts";

/** One object in the form that the client asked for. */
export function renderObject(resource: ResourceDefinition, object: ApiObject, format: Format): unknown {
  if (format.kind === "table")
    return toTable(resource, [object], format.table, { resourceVersion: object.metadata.resourceVersion ?? "" });
  if (format.kind === "partial")
    return { kind: "PartialObjectMetadata", apiVersion: `meta.k8s.io/${format.version}`, metadata: object.metadata };
  return object;
}

/** A list in the form that the client asked for. */
export function renderList(resource: ResourceDefinition, page: ObjectPage, format: Format): unknown {
  const metadata = {
    resourceVersion: String(page.revision),
    ...(page.continue === undefined ? {} : { continue: page.continue, remainingItemCount: page.remaining }),
  };
  if (format.kind === "table") return toTable(resource, page.items, format.table, metadata);
  if (format.kind === "partial") {
    const items = page.items.map((object) => ({
      kind: "PartialObjectMetadata",
      apiVersion: `meta.k8s.io/${format.version}`,
      metadata: object.metadata,
    }));
    return { kind: "PartialObjectMetadataList", apiVersion: `meta.k8s.io/${format.version}`, metadata, items };
  }
  return { kind: `${resource.kind}List`, apiVersion: apiVersionOf(resource), metadata, items: page.items };
}
