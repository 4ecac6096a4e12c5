import type { ConfigMap } from "@tripod/api/kubernetes";
import { defineResource } from "../registry/resource.ts";
import { ageColumn, nameColumn } from "../table/column.ts";
import { checkConfigData, checkImmutable, entryCount } from "./config-data.ts";

export const configMaps = defineResource<ConfigMap>({
  group: "",
  version: "v1",
  kind: "ConfigMap",
  plural: "configmaps",
  singular: "configmap",
  shortNames: ["cm"],
  namespaced: true,
  nameRule: "subdomain",
  columns: [
    nameColumn,
    { name: "Data", type: "string", cell: ({ data, binaryData }) => entryCount(data, binaryData) },
    ageColumn,
  ],
  validate: (map, errors) => checkConfigData(map, errors, { isBase64: false, sizeField: "" }),
  validateUpdate: checkImmutable,
});
