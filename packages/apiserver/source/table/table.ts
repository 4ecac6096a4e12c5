import type { ObjectMeta, Table } from "@tripod/api/kubernetes";
import type { ApiObject } from "../registry/api-object.ts";
import type { Column, ResourceDefinition } from "../registry/resource.ts";

/** What of each object a row carries, as the client asks with includeObject. */
export type IncludeObject = "None" | "Metadata" | "Object";

export interface TableRequest {
  readonly version: string;
  readonly includeObject: IncludeObject;
}

const partial = (object: ApiObject, version: string): Record<string, unknown> => ({
  kind: "PartialObjectMetadata",
  apiVersion: `meta.k8s.io/${version}`,
  metadata: object.metadata satisfies ObjectMeta,
});

const definition = (column: Column) => ({
  name: column.name,
  type: column.type,
  format: column.name === "Name" ? "name" : "",
  description: column.description ?? "",
  priority: column.priority ?? 0,
});

/** The objects as rows, with the columns of their resource. */
export function toTable(
  resource: ResourceDefinition,
  objects: readonly ApiObject[],
  request: TableRequest,
  metadata: Table["metadata"],
  withColumns = true,
): Table {
  return {
    kind: "Table",
    apiVersion: `meta.k8s.io/${request.version}`,
    metadata: metadata ?? {},
    columnDefinitions: withColumns ? resource.columns.map(definition) : [],
    rows: objects.map((object) => ({
      cells: resource.columns.map((column) => column.cell(object) ?? ""),
      ...(request.includeObject === "None"
        ? {}
        : { object: request.includeObject === "Object" ? object : partial(object, request.version) }),
    })),
  };
}
