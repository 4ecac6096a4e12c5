import type { RuntimeClass } from "@tripod/api/kubernetes";
import { checkLabels, checkName } from "../registry/names.ts";
import { defineResource } from "../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../table/column.ts";

export const runtimeClasses = defineResource<RuntimeClass>({
  group: "node.k8s.io",
  version: "v1",
  kind: "RuntimeClass",
  plural: "runtimeclasses",
  singular: "runtimeclass",
  namespaced: false,
  nameRule: "subdomain",
  columns: [nameColumn, textColumn<RuntimeClass>("Handler", ({ handler }) => handler), ageColumn],
  validate({ handler, scheduling }, errors) {
    if (!handler) errors.required("handler");
    else checkName(handler, "label", "handler", errors);
    checkLabels(scheduling?.nodeSelector, "scheduling.nodeSelector", errors);
  },
  validateUpdate(runtimeClass, old, errors) {
    if (runtimeClass.handler !== old.handler) errors.invalid("handler", runtimeClass.handler, "field is immutable");
  },
});
