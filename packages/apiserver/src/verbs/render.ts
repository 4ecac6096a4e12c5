import type { KubernetesObject } from "@tripod/api/kubernetes";
import type { Format } from "../http/negotiate.ts";
import type { Resource } from "../registry/resource.ts";
import type { StoredObject } from "../registry/stored-object.ts";
import { partialObject, tableOf, tableRow } from "../table/table.ts";

/** One object as JSON text, in the form that the client asked for. */
export function renderObject(resource: Resource, object: KubernetesObject, format: Format): string {
  switch (format.kind) {
    case "object":
      return JSON.stringify(object);
    case "partial":
      return JSON.stringify(partialObject(object, format.version));
    case "table": {
      const metadata = { resourceVersion: object.metadata.resourceVersion ?? "" };
      const rows = [tableRow(resource, object, format)];
      return JSON.stringify(tableOf(resource, rows, { form: format, metadata, withColumns: true }));
    }
  }
}

/** As renderObject, for what comes out of the store: as an object it is printed once for everybody. */
export const renderStored = (resource: Resource, stored: StoredObject, format: Format): string =>
  format.kind === "object" ? stored.json : renderObject(resource, stored.object, format);
