import type { Lease } from "@tripod/api/kubernetes";
import { defineResource } from "../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../table/column.ts";

export const leases = defineResource<Lease>({
  group: "coordination.k8s.io",
  version: "v1",
  kind: "Lease",
  plural: "leases",
  singular: "lease",
  namespaced: true,
  nameRule: "subdomain",
  columns: [nameColumn, textColumn<Lease>("Holder", ({ spec }) => spec?.holderIdentity), ageColumn],
  validate({ spec }, errors) {
    const seconds = spec?.leaseDurationSeconds;
    if (seconds !== undefined && seconds <= 0)
      errors.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0");
    const transitions = spec?.leaseTransitions;
    if (transitions !== undefined && transitions < 0)
      errors.invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0");
  },
});
