import { isDeepStrictEqual } from "node:util";
import type { VolumeAttributesClass } from "@tripod/api/kubernetes";
import { defineResource } from "../../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../../table/column.ts";
import { checkParameters, checkProvisioner } from "./storage-class.ts";

export const volumeAttributesClasses = defineResource<VolumeAttributesClass>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "VolumeAttributesClass",
  plural: "volumeattributesclasses",
  singular: "volumeattributesclass",
  shortNames: ["vac"],
  namespaced: false,
  nameRule: "subdomain",
  columns: [nameColumn, textColumn<VolumeAttributesClass>("DriverName", ({ driverName }) => driverName), ageColumn],
  validate({ driverName, parameters = {} }, errors) {
    checkProvisioner(driverName, "driverName", errors);
    if (Object.keys(parameters).length === 0) errors.required("parameters", "must contain at least one key/value pair");
    checkParameters(parameters, errors);
  },
  validateUpdate(attributes, old, errors) {
    for (const field of ["driverName", "parameters"] as const)
      if (!isDeepStrictEqual(attributes[field], old[field]))
        errors.forbidden(field, `updates to ${field} are forbidden.`);
  },
});
