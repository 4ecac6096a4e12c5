import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { silentLogger } from "@tripod/base";
import { serveDriver } from "@tripod/csi";
import { openHostpathDriver } from "@tripod/driver-hostpath";
import { openLoopDriver } from "@tripod/driver-loop";
import {
  csiDrivers,
  csiNodes,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
  volumeAttachments,
} from "@tripod/kube";
import { goProgram, interop, sidecarPrograms, tempRoot } from "@tripod/testing";
import { addNode, type ControlPlane, startControlPlane } from "../controllers/control-plane.ts";

const provisioner = goProgram(sidecarPrograms.csiProvisioner);
const attacher = goProgram(sidecarPrograms.csiAttacher);
const skip = ("skip" in provisioner && provisioner.skip) || ("skip" in attacher && attacher.skip);
const where = { namespace: "default" };

/** Runs one of upstream's sidecars until the stack is disposed. */
function startSidecar(stack: AsyncDisposableStack, path: string, args: readonly string[]): void {
  const output = process.env.TRIPOD_TEST_LOG === undefined ? "ignore" : "inherit";
  const child = spawn(path, args, { stdio: ["ignore", "ignore", output] });
  stack.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  });
}

type Open = typeof openHostpathDriver | typeof openLoopDriver;

/** A node whose kubelet has registered the driver; our controllers never see its socket, upstream's sidecars are given it. */
async function startPlane(stack: AsyncDisposableStack, name: string, open: Open): Promise<ControlPlane> {
  const plane = await startControlPlane(stack, { pluginsRegistryDir: stack.use(tempRoot()).path });
  const { client, layout } = plane;
  const { driver } = stack.use(await open({ stateDir: join(layout.csiStateDir, name), nodeId: "n1", attach: true }));
  assert.ok("path" in provisioner && "path" in attacher);
  const dir = join(layout.kubeletDir, "plugins", name);
  mkdirSync(dir, { recursive: true });
  const socket = join(dir, "csi.sock");
  stack.use(await serveDriver({ endpoint: `unix://${socket}`, driver, log: silentLogger }));
  const topologyKey = `topology.${name}/node`;
  await addNode(client, "n1");
  await client.resource(nodes).patch("n1", { metadata: { labels: { [topologyKey]: "n1" } } });
  await client.resource(csiDrivers).create({ metadata: { name }, spec: { attachRequired: true } });
  await client
    .resource(csiNodes)
    .create({ metadata: { name: "n1" }, spec: { drivers: [{ name, nodeID: "n1", topologyKeys: [topologyKey] }] } });
  const common = [`--kubeconfig=${layout.kubeconfig}`, `--csi-address=${socket}`, "--v=5"];
  startSidecar(stack, provisioner.path, [...common, "--extra-create-metadata", "--retry-interval-start=200ms"]);
  startSidecar(stack, attacher.path, [...common, "--retry-interval-start=200ms"]);
  return plane;
}

for (const [word, open] of Object.entries({ hostpath: openHostpathDriver, loop: openLoopDriver }))
  describe(interop({
    interface: "CSI",
    caller: `external-provisioner ${sidecarPrograms.csiProvisioner.version.slice(1)}, external-attacher ${sidecarPrograms.csiAttacher.version.slice(1)}`,
    callee: `Tripod's ${word} driver`,
  }), { skip }, () => {
    test("a volume is made where its Pod goes, attached, detached and deleted", async () => {
      await using stack = new AsyncDisposableStack();
      const name = `${word}.csi.tripod.dev`;
      const { client, until, layout } = await startPlane(stack, name, open);
      const volumes = (): string[] => readdirSync(join(layout.csiStateDir, name, "volumes"));
      await client
        .resource(storageClasses)
        .create({ metadata: { name: "late" }, provisioner: name, volumeBindingMode: "WaitForFirstConsumer" });
      await client.resource(persistentVolumeClaims).create({
        metadata: { name: "data", ...where },
        spec: {
          accessModes: ["ReadWriteOnce"],
          resources: { requests: { storage: "64Mi" } },
          storageClassName: "late",
        },
      });
      await client.resource(pods).create({
        metadata: { name: "web", ...where },
        spec: {
          containers: [{ name: "c", image: "x" }],
          volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }],
        },
      });
      await until(nodes, { name: "n1" }, (node) => (node?.status?.volumesAttached ?? []).length === 1);
      const claim = await client.resource(persistentVolumeClaims).get("data", where);
      const volume = await client.resource(persistentVolumes).get(claim.spec.volumeName ?? "");
      assert.equal(volume.spec.csi?.driver, name);
      assert.equal(volume.spec.capacity?.storage, "64Mi");
      const [term] = volume.spec.nodeAffinity?.required?.nodeSelectorTerms ?? [];
      assert.deepEqual(term?.matchExpressions, [{ key: `topology.${name}/node`, operator: "In", values: ["n1"] }]);
      assert.equal(volumes().length, 1);
      const [attachment] = (await client.resource(volumeAttachments).list()).items;
      assert.ok(attachment);
      assert.ok(attachment.metadata.finalizers?.includes(`external-attacher/${name.replaceAll(".", "-")}`));
      assert.equal(attachment.status?.attached, true);
      await client.resource(pods).delete("web", { ...where, gracePeriodSeconds: 0 });
      await until(volumeAttachments, { name: attachment.metadata.name }, (each) => each === undefined);
      await client.resource(persistentVolumeClaims).delete("data", where);
      await until(persistentVolumes, { name: volume.metadata.name }, (each) => each === undefined);
      assert.deepEqual(volumes(), []);
    });
  });
