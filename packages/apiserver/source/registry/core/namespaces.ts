import type { Namespace } from "@tripod/api/kubernetes";
import { randomUUID } from "node:crypto";
import { timeNow } from "@tripod/api/kubernetes";
import { isTripodError } from "@tripod/base";
import { forbidden } from "../../http/api-error.ts";
import type { ApiObject } from "../api-object.ts";
import type { ObjectStore } from "../object-store.ts";
import { ageColumn, nameColumn, type ResourceDefinition } from "../resource.ts";

const asNamespace = (object: ApiObject): Namespace & ApiObject => object as Namespace & ApiObject; // decoded as one

/** Namespaces that a cluster cannot be without. */
export const permanentNamespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];

/** Namespaces; each is made with a default service account and the authority's certificate, so that its first Pod can start. */
export function namespacesOf(caCertificate: string): ResourceDefinition {
  return {
    group: "",
    version: "v1",
    kind: "Namespace",
    plural: "namespaces",
    singular: "namespace",
    shortNames: ["ns"],
    namespaced: false,
    nameRule: "label",
    storageName: "namespaces",
    columns: [
      nameColumn,
      { name: "Status", type: "string", cell: (object) => asNamespace(object).status?.phase },
      ageColumn,
    ],
    hasStatus: true,
    subresources: [
      { name: "status", verbs: ["get", "patch", "update"] },
      { name: "finalize", verbs: ["update"] },
    ],
    selectableFields: (object) => ({ "status.phase": asNamespace(object).status?.phase ?? "" }),
    prepareCreate(object) {
      const namespace = asNamespace(object);
      namespace.spec = { finalizers: ["kubernetes"] };
      namespace.status = { phase: "Active" };
      namespace.metadata.labels = {
        ...namespace.metadata.labels,
        "kubernetes.io/metadata.name": namespace.metadata.name ?? "",
      };
    },
    prepareUpdate(object, old) {
      asNamespace(object).spec = asNamespace(old).spec ?? {};
    },
    gracePeriodSeconds(object) {
      if (permanentNamespaces.includes(object.metadata.name ?? ""))
        throw forbidden(
          `namespaces ${JSON.stringify(object.metadata.name)} is forbidden: this namespace may not be deleted`,
        );
      return 0;
    },
    afterCreate: (object, { store }) => furnishNamespace(store, object.metadata.name ?? "", caCertificate),
  };
}

/** Makes what every namespace has; what is there already stays. */
export function furnishNamespace(store: ObjectStore, namespace: string, caCertificate: string): void {
  const metadata = (name: string) => ({ name, namespace, uid: randomUUID(), creationTimestamp: timeNow() });
  const make = (plural: string, object: ApiObject): void => {
    try {
      store.create({ group: "", plural, storageName: plural, namespaced: true }, object);
    } catch (error) {
      if (!isTripodError(error, "already-exists")) throw error;
    }
  };
  make("serviceaccounts", { apiVersion: "v1", kind: "ServiceAccount", metadata: metadata("default") });
  make("configmaps", {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: metadata("kube-root-ca.crt"),
    data: { "ca.crt": caCertificate },
  });
}
