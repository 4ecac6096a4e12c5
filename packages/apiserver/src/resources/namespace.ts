import type { Namespace } from "@tripod/api/kubernetes";
import { forbidden } from "../http/api-error.ts";
import { defineResource, type Resource } from "../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../table/column.ts";
import { furnishNamespace } from "./furnish-namespace.ts";

/** Namespaces that a cluster cannot be without. */
export const permanentNamespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];
/** Of those, the ones that nobody may delete. */
const undeletable = ["default", "kube-system", "kube-public"];

/** What names the resource; enough to read namespaces. */
export const namespaceName = {
  group: "",
  version: "v1",
  kind: "Namespace",
  plural: "namespaces",
  namespaced: false,
} as const;

const subresources = [{ name: "finalize", verbs: ["update"] }];

/** Namespaces. Each is made with what its first Pod needs; a deleted one waits until its content is gone. */
export const namespacesOf = (caCertificate: string): Resource<Namespace> =>
  defineResource<Namespace>({
    ...namespaceName,
    singular: "namespace",
    shortNames: ["ns"],
    nameRule: "label",
    hasStatus: true,
    subresources,
    columns: [nameColumn, textColumn<Namespace>("Status", ({ status }) => status?.phase), ageColumn],
    selectableFields: ({ status }) => ({ "status.phase": status?.phase ?? "" }),
    applyDefaults({ metadata }) {
      metadata.labels = { ...metadata.labels, "kubernetes.io/metadata.name": metadata.name ?? "" };
    },
    prepareCreate(namespace) {
      namespace.spec = { finalizers: ["kubernetes"] };
      namespace.status = { phase: "Active" };
    },
    prepareUpdate(namespace, old) {
      // Its own subresource changes it.
      if (old.spec !== undefined) namespace.spec = old.spec;
    },
    prepareStatusUpdate(namespace, old) {
      if (old.spec !== undefined) namespace.spec = old.spec;
    },
    async admitDelete({ metadata: { name = "" } }) {
      if (undeletable.includes(name)) throw forbidden(namespaceName, name, "this namespace may not be deleted");
    },
    isHeld: ({ spec }) => (spec?.finalizers?.length ?? 0) > 0,
    markDeleted(namespace) {
      namespace.status = { ...namespace.status, phase: "Terminating" };
    },
    afterCreate: async ({ metadata: { name = "" } }, { store }) => furnishNamespace(store, name, caCertificate),
  });
