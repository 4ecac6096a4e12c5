import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import type { PersistentVolumeClaim } from "@tripod/api/kubernetes";
import { persistentVolumeClaims, persistentVolumes, pods, storageClasses, volumeAttachments } from "@tripod/kube";
import { addNode, type ControlPlane, startControlPlane } from "./control-plane.ts";
import { driverName, MemoryDriver } from "./memory-driver.ts";

/** Starts controllers in a process of their own that dies at a failpoint. */
function doomedControllers(stack: AsyncDisposableStack, plane: ControlPlane, failpoint: string): ChildProcess {
  const { pkiDir, pluginsRegistryDir } = plane.layout;
  const script = join(import.meta.dirname, "run-controllers.ts");
  const child = spawn(process.execPath, [script, join(pkiDir, "controllers.kubeconfig"), pluginsRegistryDir], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, TRIPOD_FAILPOINT: failpoint },
  });
  stack.defer(() => void child.kill("SIGKILL"));
  return child;
}

const isBound = (claim: PersistentVolumeClaim | undefined): boolean => claim?.status?.phase === "Bound";
const where = { namespace: "default" };

async function untilKilled(child: ChildProcess, failpoint: string): Promise<void> {
  const [, signal] = await once(child, "exit", { signal: AbortSignal.timeout(20_000) });
  assert.equal(signal, "SIGKILL", `the process should have died at ${failpoint}`);
}

const whileMaking = [
  "controllers.provisioner.claim-held",
  "controllers.provisioner.volume-made",
  "controllers.provisioner.volume-saved",
  "controllers.binder.claim-bound",
  "controllers.attacher.held",
  "controllers.attacher.published",
];
const whileRemoving = ["controllers.attacher.unpublished", "controllers.provisioner.volume-deleted"];

for (const failpoint of [...whileMaking, ...whileRemoving])
  test(`controllers killed at ${failpoint} leave nothing behind when others take over`, async () => {
    await using stack = new AsyncDisposableStack();
    const plane = await startControlPlane(stack);
    const { client, until } = plane;
    const driver = new MemoryDriver();
    await addNode(client, "n1");
    await driver.start(stack, plane.layout, client, { nodes: ["n1"], attachRequired: true });
    await plane.stopControllers();
    const making = whileMaking.includes(failpoint);
    const doomed = making ? doomedControllers(stack, plane, failpoint) : undefined;

    await client.resource(storageClasses).create({ metadata: { name: "now" }, provisioner: driverName });
    await client.resource(persistentVolumeClaims).create({
      metadata: { name: "data", ...where },
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "now" },
    });
    await client.resource(pods).create({
      metadata: { name: "web", ...where },
      spec: {
        containers: [{ name: "c", image: "x" }],
        volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }],
      },
    });
    if (doomed !== undefined) await untilKilled(doomed, failpoint);
    await plane.restartControllers();
    const bound = await until(persistentVolumeClaims, { name: "data", ...where }, isBound);
    const volumeName = bound?.spec.volumeName ?? "";
    const attachment = await firstAttachment(plane);
    await until(volumeAttachments, { name: attachment }, (each) => each?.status?.attached === true);
    assert.deepEqual([...driver.volumes.keys()], [`id-${volumeName}`]);
    assert.equal(driver.published.size, 1);
    assert.equal((await client.resource(persistentVolumes).list()).items.length, 1);

    if (!making) await plane.stopControllers();
    const second = making ? undefined : doomedControllers(stack, plane, failpoint);
    await client.resource(pods).delete("web", { ...where, gracePeriodSeconds: 0 });
    await client.resource(persistentVolumeClaims).delete("data", where);
    if (second !== undefined) {
      await untilKilled(second, failpoint);
      await plane.restartControllers();
    }
    await until(persistentVolumes, { name: volumeName }, (each) => each === undefined);
    assert.equal(driver.volumes.size, 0);
    assert.equal(driver.published.size, 0);
    assert.deepEqual((await client.resource(volumeAttachments).list()).items, []);
  });

/** A watch without a version begins with what is there. */
async function firstAttachment(plane: ControlPlane): Promise<string> {
  const signal = AbortSignal.timeout(15_000);
  for await (const { object } of plane.client.resource(volumeAttachments).watch({ signal }))
    return object.metadata.name;
  throw new Error("nothing was attached");
}
