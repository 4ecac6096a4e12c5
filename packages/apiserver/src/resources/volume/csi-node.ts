import { isDeepStrictEqual } from "node:util";
import type { CSINode } from "@tripod/api/kubernetes";
import { defineResource } from "../../registry/resource.ts";
import { ageColumn, nameColumn } from "../../table/column.ts";

export const csiNodes = defineResource<CSINode>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "CSINode",
  plural: "csinodes",
  singular: "csinode",
  namespaced: false,
  nameRule: "subdomain",
  columns: [nameColumn, { name: "Drivers", type: "integer", cell: ({ spec }) => spec.drivers?.length ?? 0 }, ageColumn],
  applyDefaults(node) {
    node.spec ??= { drivers: [] };
    // Protobuf cannot tell an empty list from none, and readers trust that there is one.
    node.spec.drivers ??= [];
  },
  validate({ spec }, errors) {
    const names = new Set<string>();
    for (const [index, driver] of (spec?.drivers ?? []).entries()) {
      const at = `spec.drivers[${index}]`;
      if (!driver.name) errors.required(`${at}.name`);
      if (!driver.nodeID) errors.required(`${at}.nodeID`);
      else if (driver.nodeID.length > 192)
        errors.invalid(`${at}.nodeID`, driver.nodeID, "must be 192 characters or less");
      if (names.has(driver.name)) errors.duplicate(`${at}.name`, driver.name);
      names.add(driver.name);
    }
  },
  validateUpdate({ spec }, old, errors) {
    for (const [index, driver] of (spec?.drivers ?? []).entries()) {
      const before = old.spec?.drivers?.find((each) => each.name === driver.name);
      const fixed = ({ name, nodeID, topologyKeys = [] }: typeof driver) => ({ name, nodeID, topologyKeys });
      if (before !== undefined && !isDeepStrictEqual(fixed(driver), fixed(before)))
        errors.invalid(`spec.drivers[${index}]`, driver, "field is immutable");
    }
  },
});
