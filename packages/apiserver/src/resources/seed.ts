import { randomUUID } from "node:crypto";
import { type KubernetesObject, type Namespace, type PriorityClass, timeNow } from "@tripod/api/kubernetes";
import { isTripodError } from "@tripod/base";
import type { ObjectStore } from "../registry/object-store.ts";
import { furnishNamespace } from "./furnish-namespace.ts";
import { namespaceName, permanentNamespaces } from "./namespace.ts";
import { priorityClasses, systemPriorityClasses } from "./priority-class.ts";

/** Makes what every cluster has and what a crash may have left out. Asked again at every start. */
export async function seed(store: ObjectStore, caCertificate: string): Promise<void> {
  const born = <T extends KubernetesObject>(object: T): T => ({
    ...object,
    metadata: { ...object.metadata, uid: randomUUID(), creationTimestamp: timeNow() },
  });
  const namespaces = permanentNamespaces.map(
    (name): Namespace => ({
      metadata: { name, labels: { "kubernetes.io/metadata.name": name } },
      spec: { finalizers: ["kubernetes"] },
      status: { phase: "Active" },
    }),
  );
  await Promise.all([
    ...namespaces.map((each) => makeOnce(() => store.create<Namespace>(namespaceName, born(each)))),
    ...systemPriorityClasses.map((each) => makeOnce(() => store.create<PriorityClass>(priorityClasses, born(each)))),
  ]);
  // Also those of users: the server may have ended between a namespace and what belongs into it.
  const { items } = await store.list<Namespace>(namespaceName, undefined);
  const living = items.map((each) => each.object.metadata).filter((each) => each.deletionTimestamp === undefined);
  await Promise.all(living.map(({ name = "" }) => furnishNamespace(store, name, caCertificate)));
}

async function makeOnce(make: () => Promise<unknown>): Promise<void> {
  try {
    await make();
  } catch (error) {
    if (!isTripodError(error, "already-exists")) throw error;
  }
}
