import type { PriorityClass } from "@tripod/api/kubernetes";
import { defineResource } from "../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../table/column.ts";

/** Priorities above this are for the system's own classes. */
const highestUserPriority = 1_000_000_000;
/** The classes that every cluster has. */
export const systemPriorityClasses: readonly PriorityClass[] = [
  {
    metadata: { name: "system-cluster-critical" },
    value: 2_000_000_000,
    preemptionPolicy: "PreemptLowerPriority",
    description:
      "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
  },
  {
    metadata: { name: "system-node-critical" },
    value: 2_000_001_000,
    preemptionPolicy: "PreemptLowerPriority",
    description: "Used for system critical pods that must not be moved from their current node.",
  },
];

const preemptionPolicies = ["Never", "PreemptLowerPriority"];

export const priorityClasses = defineResource<PriorityClass>({
  group: "scheduling.k8s.io",
  version: "v1",
  kind: "PriorityClass",
  plural: "priorityclasses",
  singular: "priorityclass",
  shortNames: ["pc"],
  namespaced: false,
  nameRule: "subdomain",
  columns: [
    nameColumn,
    { name: "Value", type: "integer", cell: ({ value = 0 }) => value },
    { name: "Global-Default", type: "boolean", cell: ({ globalDefault = false }) => globalDefault },
    ageColumn,
    textColumn<PriorityClass>("PreemptionPolicy", ({ preemptionPolicy }) => preemptionPolicy),
  ],
  applyDefaults(priorityClass) {
    priorityClass.value ??= 0;
    priorityClass.preemptionPolicy ??= "PreemptLowerPriority";
  },
  validate({ metadata: { name = "" }, value = 0, preemptionPolicy }, errors) {
    const isSystem = systemPriorityClasses.some((each) => each.metadata.name === name && each.value === value);
    if (name.startsWith("system-") && !isSystem)
      errors.forbidden("metadata.name", "priority class names with 'system-' prefix are reserved for system use only");
    else if (value > highestUserPriority && !isSystem)
      errors.forbidden("value", `maximum allowed value of a user defined priority is ${highestUserPriority}`);
    if (!preemptionPolicies.includes(preemptionPolicy ?? ""))
      errors.notSupported("preemptionPolicy", preemptionPolicy, preemptionPolicies);
  },
  validateUpdate(priorityClass, old, errors) {
    if ((priorityClass.value ?? 0) !== (old.value ?? 0))
      errors.invalid("value", priorityClass.value, "field is immutable");
    if (priorityClass.preemptionPolicy !== old.preemptionPolicy)
      errors.invalid("preemptionPolicy", priorityClass.preemptionPolicy, "field is immutable");
  },
});
