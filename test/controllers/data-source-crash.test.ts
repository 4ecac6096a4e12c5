import assert from "node:assert/strict";
import { test } from "node:test";
import { persistentVolumeClaims, persistentVolumes, storageClasses } from "@tripod/kube";
import { addNode, startControlPlane } from "./control-plane.ts";
import { doomedControllers, untilKilled } from "./doomed-controllers.ts";
import { driverName, MemoryDriver } from "./memory-driver.ts";

const where = { namespace: "default" };
const inDefault = (name: string) => ({ name, ...where });

for (const failpoint of [
  "controllers.provisioner.source-held",
  "controllers.provisioner.claim-held",
  "controllers.provisioner.volume-made",
  "controllers.provisioner.volume-saved",
])
  for (const thenDeleted of [false, true])
    test(`cloning: controllers killed at ${failpoint} leave ${thenDeleted ? "no clone, deleted meanwhile," : "one clone"} and hold nothing`, async () => {
      await using stack = new AsyncDisposableStack();
      const plane = await startControlPlane(stack);
      const { client, until } = plane;
      const driver = new MemoryDriver();
      await addNode(client, "n1");
      await driver.start(stack, plane.layout, client, { nodes: ["n1"] });
      await client.resource(storageClasses).create({ metadata: { name: "now" }, provisioner: driverName });
      const claims = client.resource(persistentVolumeClaims);
      const claim = (name: string, spec: object = {}) =>
        claims.create({
          metadata: inDefault(name),
          spec: {
            accessModes: ["ReadWriteOnce"],
            resources: { requests: { storage: "1Gi" } },
            storageClassName: "now",
            ...spec,
          },
        });
      await claim("data");
      await until(persistentVolumeClaims, inDefault("data"), (each) => each?.status?.phase === "Bound");
      // The provisioner lets go of it a moment after it is bound.
      await until(persistentVolumeClaims, inDefault("data"), (each) => each?.metadata.finalizers?.length === 1);

      await plane.stopControllers();
      const doomed = doomedControllers(stack, plane, failpoint);
      await claim("copy", { dataSource: { kind: "PersistentVolumeClaim", name: "data" } });
      await untilKilled(doomed, failpoint);
      if (thenDeleted) await claims.delete("copy", where);
      await claims.delete("data", where);
      await plane.restartControllers();
      if (!thenDeleted) {
        const bound = await until(persistentVolumeClaims, inDefault("copy"), (each) => each?.status?.phase === "Bound");
        await until(persistentVolumeClaims, inDefault("data"), (each) => each === undefined);
        await untilVolumes(plane.client, 1);
        assert.deepEqual([...driver.volumes.keys()], [`id-${bound?.spec.volumeName}`]);
        await claims.delete("copy", where);
      }
      for (const name of ["copy", "data"])
        await until(persistentVolumeClaims, inDefault(name), (each) => each === undefined);
      await untilVolumes(plane.client, 0);
      assert.equal(driver.volumes.size, 0);
    });

/** Until there are so many volumes. */
async function untilVolumes(client: Parameters<typeof addNode>[0], count: number): Promise<void> {
  const signal = AbortSignal.timeout(15_000);
  const resource = client.resource(persistentVolumes);
  const { items, resourceVersion } = await resource.list();
  const names = new Set(items.map(({ metadata }) => metadata.name));
  if (names.size === count) return;
  for await (const { type, object } of resource.watch({ resourceVersion, signal })) {
    if (type === "DELETED") names.delete(object.metadata.name);
    else names.add(object.metadata.name);
    if (names.size === count) return;
  }
  throw new Error(`there are ${names.size} volumes, not ${count}`);
}
