import { timeNow } from "@tripod/api/kubernetes";
import { randomUUID } from "node:crypto";
import type { ObjectStore } from "../object-store.ts";
import { furnishNamespace, permanentNamespaces } from "./namespaces.ts";

const resource = { group: "", plural: "namespaces", storageName: "namespaces", namespaced: false } as const;

/** Makes the namespaces that every cluster has, and what they hold, where they are absent. */
export function ensureNamespaces(store: ObjectStore, caCertificate: string): void {
  for (const name of permanentNamespaces) {
    if (store.find(resource, undefined, name) === undefined) {
      const metadata = {
        name,
        uid: randomUUID(),
        creationTimestamp: timeNow(),
        labels: { "kubernetes.io/metadata.name": name },
      };
      store.create(resource, {
        apiVersion: "v1",
        kind: "Namespace",
        metadata,
        spec: { finalizers: ["kubernetes"] },
        status: { phase: "Active" },
      });
    }
    furnishNamespace(store, name, caCertificate);
  }
}
