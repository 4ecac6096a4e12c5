import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  persistentVolumeClaims,
  storageClasses,
  volumeGroupSnapshotClasses,
  volumeGroupSnapshotContents,
  volumeGroupSnapshots,
  volumeSnapshotClasses,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@tripod/kube";
import { goProgram, interop, sidecarPrograms } from "@tripod/testing";
import { addNode, startControlPlane } from "../controllers/control-plane.ts";
import { driverName, MemoryDriver } from "../controllers/memory-driver.ts";
import { MemorySnapshots } from "../controllers/memory-snapshots.ts";

const controller = goProgram(sidecarPrograms.snapshotController);
const sidecar = goProgram(sidecarPrograms.csiSnapshotter);
const skip = ("skip" in controller && controller.skip) || ("skip" in sidecar && sidecar.skip);
const inDefault = (name: string) => ({ name, namespace: "default" });
const where = { namespace: "default" };

/** Runs a program until the stack is disposed. */
function run(stack: AsyncDisposableStack, path: string, args: readonly string[]): ChildProcess {
  const child = spawn(path, args, { stdio: ["ignore", "ignore", process.env.TRIPOD_TEST_LOG ? "inherit" : "ignore"] });
  stack.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  });
  return child;
}

const caller = `external-snapshotter ${sidecarPrograms.snapshotController.version.slice(1)}`;
describe(interop({ interface: "Kubernetes API", caller, callee: "Tripod's API server" }), { skip }, () => {
  test("upstream's controller and sidecar take, show and delete snapshots and group snapshots", async () => {
    assert.ok("path" in controller && "path" in sidecar);
    await using stack = new AsyncDisposableStack();
    const plane = await startControlPlane(stack);
    const { client, until, layout } = plane;
    const driver = new MemoryDriver();
    const taken = new MemorySnapshots("list");
    await addNode(client, "n1");
    await driver.start(stack, layout, client, { nodes: ["n1"], snapshots: taken });
    await client.resource(storageClasses).create({ metadata: { name: "now" }, provisioner: driverName });
    for (const name of ["a", "b"]) {
      await client.resource(persistentVolumeClaims).create({
        metadata: { ...inDefault(name), labels: { app: "db" } },
        spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "now" },
      });
      await until(persistentVolumeClaims, inDefault(name), (claim) => claim?.status?.phase === "Bound");
    }
    await plane.stopControllers();

    const groups = "--feature-gates=CSIVolumeGroupSnapshot=true";
    await using upstream = new AsyncDisposableStack();
    const common = [`--kubeconfig=${layout.kubeconfig}`, groups, "--v=5"];
    run(upstream, controller.path, common);
    const socket = join(layout.kubeletDir, "plugins", driverName, "csi.sock");
    run(upstream, sidecar.path, [...common, `--csi-address=${socket}`]);
    await client
      .resource(volumeSnapshotClasses)
      .create({ metadata: { name: "fast" }, driver: driverName, deletionPolicy: "Delete" });
    await client.resource(volumeSnapshots).create({
      metadata: inDefault("snap"),
      spec: { source: { persistentVolumeClaimName: "a" }, volumeSnapshotClassName: "fast" },
    });
    const snapshot = await until(volumeSnapshots, inDefault("snap"), (each) => each?.status?.readyToUse === true);
    assert.equal(snapshot?.status?.restoreSize, "1Gi");
    assert.equal(taken.snapshots.size, 1);

    await client
      .resource(volumeGroupSnapshotClasses)
      .create({ metadata: { name: "together" }, driver: driverName, deletionPolicy: "Delete" });
    await client.resource(volumeGroupSnapshots).create({
      metadata: inDefault("group"),
      spec: { source: { selector: { matchLabels: { app: "db" } } }, volumeGroupSnapshotClassName: "together" },
    });
    await until(volumeGroupSnapshots, inDefault("group"), (each) => each?.status?.readyToUse === true);
    assert.equal(taken.snapshots.size, 3);
    assert.equal((await client.resource(volumeSnapshots).list(where)).items.length, 3);

    await client.resource(volumeSnapshots).delete("snap", where);
    await until(volumeSnapshots, inDefault("snap"), (each) => each === undefined);
    assert.equal(taken.snapshots.size, 2);
    // Ours take over what upstream's have made.
    await upstream.disposeAsync();
    await plane.restartControllers();
    await client.resource(volumeGroupSnapshots).delete("group", where);
    await until(volumeGroupSnapshots, inDefault("group"), (each) => each === undefined);
    assert.equal(taken.snapshots.size, 0);
    for (const { metadata } of (await client.resource(volumeSnapshots).list(where)).items)
      await until(volumeSnapshots, inDefault(metadata.name), (each) => each === undefined);
    assert.deepEqual((await client.resource(volumeGroupSnapshotContents).list()).items, []);
    assert.deepEqual((await client.resource(volumeSnapshotContents).list()).items, []);
  });
});
