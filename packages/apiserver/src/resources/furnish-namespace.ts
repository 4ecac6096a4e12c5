import { randomUUID } from "node:crypto";
import { type ConfigMap, type ServiceAccount, timeNow } from "@tripod/api/kubernetes";
import { isTripodError } from "@tripod/base";
import type { ObjectStore } from "../registry/object-store.ts";
import { configMaps } from "./config-map.ts";
import { serviceAccounts } from "./service-account.ts";

/** Makes what every namespace has, so that its first Pod can start: the default service account, and the authority to trust. */
export async function furnishNamespace(store: ObjectStore, namespace: string, caCertificate: string): Promise<void> {
  const metadata = (name: string) => ({ name, namespace, uid: randomUUID(), creationTimestamp: timeNow() });
  await makeOnce(store.create<ServiceAccount>(serviceAccounts, { metadata: metadata("default") }));
  const data = { "ca.crt": caCertificate };
  await makeOnce(store.create<ConfigMap>(configMaps, { metadata: metadata("kube-root-ca.crt"), data }));
}

/** What is there already stays as it is. */
async function makeOnce(made: Promise<unknown>): Promise<void> {
  try {
    await made;
  } catch (error) {
    if (!isTripodError(error, "already-exists")) throw error;
  }
}
