import type { KubernetesObject, ListMeta, Table, TableColumnDefinition, TableRow } from "@tripod/api/kubernetes";
import type { Resource } from "../registry/resource.ts";
import type { Column } from "./column.ts";

/** What of each object a row carries, as the client asks with includeObject. */
export type IncludeObject = "None" | "Metadata" | "Object";

export interface TableForm {
  /** v1 or v1beta1. */
  readonly version: string;
  readonly includeObject: IncludeObject;
}

/** An object's metadata alone, as rows and metadata-only clients carry it. */
export const partialObject = (object: KubernetesObject, version: string): KubernetesObject => ({
  kind: "PartialObjectMetadata",
  apiVersion: `meta.k8s.io/${version}`,
  metadata: object.metadata,
});

const definitionOf = (column: Column): TableColumnDefinition => ({
  name: column.name,
  type: column.type,
  format: column.name === "Name" ? "name" : "",
  description: column.description ?? "",
  priority: column.priority ?? 0,
});

export function tableRow(resource: Resource, object: KubernetesObject, form: TableForm): TableRow {
  const cells = resource.columns.map((column) => column.cell(object) ?? "");
  if (form.includeObject === "None") return { cells };
  return { cells, object: form.includeObject === "Object" ? object : partialObject(object, form.version) };
}

/** A Table of these rows; later events of a watch carry no columns. */
export const tableOf = (
  resource: Resource,
  rows: TableRow[],
  options: { readonly form: TableForm; readonly metadata: ListMeta; readonly withColumns: boolean },
): Table => ({
  kind: "Table",
  apiVersion: `meta.k8s.io/${options.form.version}`,
  metadata: options.metadata,
  columnDefinitions: options.withColumns ? resource.columns.map(definitionOf) : [],
  rows,
});
