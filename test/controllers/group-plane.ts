import { persistentVolumeClaims, storageClasses, volumeGroupSnapshotClasses, volumeGroupSnapshots } from "@tripod/kube";
import { addNode, type ControlPlane, startControlPlane } from "./control-plane.ts";
import { driverName, MemoryDriver } from "./memory-driver.ts";
import { MemorySnapshots } from "./memory-snapshots.ts";

export interface GroupPlane extends ControlPlane {
  readonly taken: MemorySnapshots;
}

/** A control plane with a driver that takes snapshots of groups, and bound claims "a" and "b" of one application, "c" of another. */
export async function startGroupPlane(
  stack: AsyncDisposableStack,
  options: { readonly policy: "Delete" | "Retain"; readonly reads?: "get" | "no" },
): Promise<GroupPlane> {
  const plane = await startControlPlane(stack);
  const { client, until } = plane;
  const driver = new MemoryDriver();
  const taken = new MemorySnapshots(options.reads);
  await addNode(client, "n1");
  await driver.start(stack, plane.layout, client, { nodes: ["n1"], snapshots: taken });
  await client.resource(storageClasses).create({ metadata: { name: "now" }, provisioner: driverName });
  await client
    .resource(volumeGroupSnapshotClasses)
    .create({ metadata: { name: "together" }, driver: driverName, deletionPolicy: options.policy });
  for (const [name, app] of [
    ["a", "db"],
    ["b", "db"],
    ["c", "web"],
  ] as const)
    await client.resource(persistentVolumeClaims).create({
      metadata: { name, namespace: "default", labels: { app } },
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "now" },
    });
  for (const name of ["a", "b", "c"])
    await until(persistentVolumeClaims, { name, namespace: "default" }, (claim) => claim?.status?.phase === "Bound");
  return { ...plane, taken };
}

/** Asks for a snapshot of all claims of an application. */
export const makeGroup = (plane: GroupPlane, name: string, app = "db") =>
  plane.client.resource(volumeGroupSnapshots).create({
    metadata: { name, namespace: "default" },
    spec: { source: { selector: { matchLabels: { app } } }, volumeGroupSnapshotClassName: "together" },
  });
