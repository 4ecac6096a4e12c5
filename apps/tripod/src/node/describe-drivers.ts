import type { CSIDriver } from "@tripod/api/kubernetes";
import { isTripodError } from "@tripod/base";
import { csiDrivers, type KubeClient } from "@tripod/kube";
import { ownDrivers } from "./driver-processes.ts";

/** What Kubernetes must know of the node's own drivers: nothing to attach, inline volumes, capacity that the scheduler may ask for. */
const describe = (name: string): CSIDriver => ({
  apiVersion: "storage.k8s.io/v1",
  kind: "CSIDriver",
  metadata: { name },
  spec: {
    attachRequired: false,
    podInfoOnMount: true,
    volumeLifecycleModes: ["Persistent", "Ephemeral"],
    storageCapacity: true,
    fsGroupPolicy: "File",
    // A file system of its own may be mounted with an SELinux context; folders of another have what is written on them.
    seLinuxMount: name === ownDrivers.loop,
  },
});

/** Makes the CSIDriver objects of the node's own drivers; those that are there already stay as somebody made them. */
export async function describeDrivers(client: KubeClient): Promise<void> {
  const create = async (name: string): Promise<void> => {
    try {
      await client.resource(csiDrivers).create(describe(name));
    } catch (error) {
      if (!isTripodError(error, "already-exists")) throw error;
    }
  };
  await Promise.all(Object.values(ownDrivers).map(create));
}
