import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { CSIDriver, PersistentVolumeClaim, Pod } from "@tripod/api/kubernetes";
import { bindDriverName } from "../testing/bind-driver.ts";
import { startTestCluster, type TestCluster } from "../testing/test-cluster.ts";

let cluster: TestCluster;
let child: ChildProcess | undefined;

before(async () => {
  cluster = await startTestCluster("tripod");
  cluster.api.create<CSIDriver>("csidrivers", { metadata: { name: bindDriverName }, spec: { attachRequired: false } });
});
after(async () => {
  child?.kill("SIGKILL");
  await cluster[Symbol.asyncDispose]();
});

/** The driver as a process of its own, which may die in one of its calls. */
async function startDriver(failpoint?: string): Promise<ChildProcess> {
  const env = { ...process.env, ...(failpoint === undefined ? {} : { TRIPOD_FAILPOINT: failpoint }) };
  const main = join(import.meta.dirname, "../testing/driver-main.ts");
  const started = spawn(process.execPath, [main, cluster.layout.root ?? ""], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  child = started;
  await once(started.stdout, "data");
  return started;
}

async function died(driver: ChildProcess): Promise<void> {
  if (driver.exitCode === null && driver.signalCode === null) await once(driver, "exit");
  assert.equal(driver.signalCode, "SIGKILL");
}

function createPod(name: string): Pod {
  cluster.api.create("persistentvolumeclaims", {
    metadata: { name, namespace: "default", uid: `uid-${name}` },
    spec: { volumeName: `pv-${name}` },
    status: { phase: "Bound", capacity: { storage: "1Gi" } },
  } as object as Pod); // a claim; the memory takes any object
  cluster.api.create("persistentvolumes", {
    metadata: { name: `pv-${name}` },
    spec: {
      accessModes: ["ReadWriteOnce"],
      capacity: { storage: "1Gi" },
      claimRef: { name, namespace: "default", uid: `uid-${name}` },
      csi: { driver: bindDriverName, volumeHandle: name },
    },
  } as object as Pod); // as above
  return cluster.createPod(name, {
    containers: [
      {
        name: "c",
        image: cluster.image,
        command: ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done"],
        volumeMounts: [{ name: "v", mountPath: "/v" }],
      },
    ],
    volumes: [{ name: "v", persistentVolumeClaim: { claimName: name } }],
  });
}

const isReady = (pod: Pod): boolean => pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";

for (const call of ["before-stage", "staged", "before-publish", "published"]) {
  test(`a driver that dies at ${call} and comes back finds its call made again`, async () => {
    const driver = await startDriver(`test.driver.${call}`);
    createPod(call);
    await died(driver);
    const next = await startDriver();
    await cluster.pod(call, isReady);
    cluster.api.delete("pods", `default/${call}`);
    await cluster.gone(call);
    next.kill("SIGKILL");
    await died(next);
  });
}

for (const call of ["before-unpublish", "unpublished", "before-unstage", "unstaged"]) {
  test(`a Pod waits with its end for a driver that dies at ${call}, says so, and goes when it is back`, async () => {
    const driver = await startDriver(`test.driver.${call}`);
    createPod(call);
    await cluster.pod(call, isReady);
    cluster.api.delete("pods", `default/${call}`);
    await died(driver);
    await cluster.told(call, "FailedUnMount: unmount volumes of pod");
    assert(cluster.api.get("pods", `default/${call}`) !== undefined);
    const next = await startDriver();
    await cluster.gone(call);
    next.kill("SIGKILL");
    await died(next);
  });
}

for (const call of ["before-expand", "expanded"]) {
  test(`a volume in use whose driver dies at ${call} has grown when the driver is back`, async () => {
    const driver = await startDriver(`test.driver.${call}`);
    createPod(call);
    await cluster.pod(call, isReady);
    const capacity = { storage: "2Gi" };
    cluster.api.update("persistentvolumes", `pv-${call}`, (pv) => ({ ...pv, spec: { ...pv.spec, capacity } }));
    cluster.api.update("persistentvolumeclaims", `default/${call}`, (claim) => ({
      ...claim,
      status: {
        ...claim.status,
        allocatedResources: capacity,
        allocatedResourceStatuses: { storage: "NodeResizePending" },
      },
    }));
    await died(driver);
    const next = await startDriver();
    await cluster.api.until<PersistentVolumeClaim>(
      "persistentvolumeclaims",
      `default/${call}`,
      (claim) => claim?.status?.capacity?.storage === "2Gi",
    );
    cluster.api.delete("pods", `default/${call}`);
    await cluster.gone(call);
    next.kill("SIGKILL");
    await died(next);
  });
}

test("a Pod deleted while its driver is away names the driver that it waits for", async () => {
  const driver = await startDriver();
  const pod = createPod("alone");
  await cluster.pod("alone", isReady);
  driver.kill("SIGKILL");
  await died(driver);
  // Gone for good, its socket too, as when its Pod is removed.
  for (const name of readdirSync(cluster.layout.pluginsRegistryDir))
    rmSync(join(cluster.layout.pluginsRegistryDir, name));
  cluster.api.delete("pods", "default/alone");
  await cluster.told("alone", `driver name ${bindDriverName} not found`);
  await startDriver();
  await cluster.gone("alone");
  assert.equal(existsSync(join(cluster.layout.kubeletDir, "pods", pod.metadata?.uid ?? "")), false);
});
