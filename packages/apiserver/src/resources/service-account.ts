import type { ServiceAccount } from "@tripod/api/kubernetes";
import { defineResource } from "../registry/resource.ts";
import { ageColumn, nameColumn } from "../table/column.ts";

export const serviceAccounts = defineResource<ServiceAccount>({
  group: "",
  version: "v1",
  kind: "ServiceAccount",
  plural: "serviceaccounts",
  singular: "serviceaccount",
  shortNames: ["sa"],
  namespaced: true,
  nameRule: "subdomain",
  columns: [nameColumn, { name: "Secrets", type: "string", cell: ({ secrets }) => secrets?.length ?? 0 }, ageColumn],
  subresources: [
    { name: "token", kind: { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" }, verbs: ["create"] },
  ],
});
