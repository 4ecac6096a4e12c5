// Times a claim and its Pod from their creation to the Pod's Ready, for each of our CSI drivers, beside the same Pod without a claim.
//   node bench/csi.ts [--runs 50] [--at-once 20] [--drivers hostpath,loop,nfs] [--json]
// Runs in network, mount and process namespaces of its own and leaves nothing.
import { rmSync } from "node:fs";
import { parseArgs } from "node:util";
import type { PersistentVolumeClaim, Pod, Stored } from "@tripod/api/kubernetes";
import { layoutOf } from "@tripod/base";
import { KubeClient, persistentVolumeClaims, persistentVolumes, pods, storageClasses, waitFor } from "@tripod/kube";
import { textTable } from "./comparison.ts";
import { type BenchPlace, runIsolated } from "./isolated.ts";
import { startNfs } from "./nfs-driver.ts";
import { startNode } from "./node-under-test.ts";
import { spanTable } from "./span-table.ts";
import { percentile } from "./statistics.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "50" },
    "at-once": { type: "string", default: "20" },
    drivers: { type: "string", default: "hostpath,loop,nfs" },
    json: { type: "boolean", default: false },
  },
});

/** The most that a claim may add to a Pod's start, in milliseconds. */
const aimMs = 60;
const where = { namespace: "default" };

const claimOf = (name: string, storageClassName: string): PersistentVolumeClaim => ({
  metadata: { name, ...where },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "64Mi" } }, storageClassName },
});

const podOf = (name: string, image: string, claimName: string | undefined): Pod => ({
  metadata: { name, ...where },
  spec: {
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: "main",
        image,
        command: ["sh", "-c", "trap exit TERM; sleep 3600 & wait"],
        volumeMounts: [{ name: "data", mountPath: "/data" }],
      },
    ],
    volumes: [
      { name: "data", ...(claimName === undefined ? { emptyDir: {} } : { persistentVolumeClaim: { claimName } }) },
    ],
  },
});

const isReady = (pod: Stored<Pod> | undefined): boolean =>
  pod?.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;

/** One way to a Pod: with a volume of a driver, or with an empty folder. */
interface Way {
  readonly name: string;
  readonly storageClass?: string;
}

/** From the creation of both objects to the Pod's Ready, in milliseconds; everything is deleted before this resolves. */
async function timeOne(client: KubeClient, way: Way, name: string, image: string): Promise<number> {
  const claim = way.storageClass === undefined ? undefined : claimOf(name, way.storageClass);
  const startedMs = performance.now();
  const made = Promise.all([
    claim === undefined ? undefined : client.resource(persistentVolumeClaims).create(claim),
    client.resource(pods).create(podOf(name, image, claim && name)),
  ]);
  await waitFor(client.resource(pods), name, isReady, { ...where, timeoutMs: 120_000 });
  const ms = performance.now() - startedMs;
  await made;
  const bound = claim === undefined ? undefined : await client.resource(persistentVolumeClaims).get(name, where);
  await client.resource(pods).delete(name, where);
  await waitFor(client.resource(pods), name, (pod) => pod === undefined, { ...where, timeoutMs: 120_000 });
  if (bound !== undefined) {
    await client.resource(persistentVolumeClaims).delete(name, where);
    const volume = bound.spec.volumeName ?? "";
    await waitFor(client.resource(persistentVolumes), volume, (found) => found === undefined, { timeoutMs: 120_000 });
  }
  return ms;
}

interface Result {
  readonly way: string;
  readonly one: readonly number[];
  /** Each of so many at once. */
  readonly together: readonly number[];
}

async function main(place: BenchPlace): Promise<void> {
  await using node = await startNode(place);
  const client = KubeClient.fromKubeconfig(node.kubeconfig);
  await using stack = new AsyncDisposableStack();
  stack.use(client);
  stack.defer(() => rmSync(place.root, { recursive: true, force: true }));
  const drivers = values.drivers.split(",");
  const layout = layoutOf(place.root);
  const nfs = drivers.includes("nfs") ? stack.use(await startNfs(client, layout, place.tripod)) : undefined;
  for (const driver of drivers)
    await client.resource(storageClasses).create({
      metadata: { name: driver },
      provisioner: `${driver}.csi.tripod.dev`,
      volumeBindingMode: "WaitForFirstConsumer",
      ...(driver === "nfs" && nfs !== undefined ? { parameters: nfs.parameters } : {}),
    });
  const ways: Way[] = [{ name: "no claim" }, ...drivers.map((name) => ({ name, storageClass: name }))];
  const one = new Map(ways.map(({ name }) => [name, new Array<number>()]));
  const runs = Number(values.runs);
  for (const way of ways) await timeOne(client, way, `warm-${way.name.replace(" ", "-")}`, node.image);
  const sinceMs = Date.now();
  for (let run = 0; run < runs; run += 1)
    for (const [index, way] of ways.entries())
      one.get(way.name)?.push(await timeOne(client, way, `one-${run}-${index}`, node.image));
  const spans = await spanTable(layout.traceDir, { since: sinceMs });
  const results: Result[] = [];
  for (const [index, way] of ways.entries()) {
    const names = Array.from({ length: Number(values["at-once"]) }, (_, turn) => `together-${index}-${turn}`);
    const together = await Promise.all(names.map((name) => timeOne(client, way, name, node.image)));
    results.push({ way: way.name, one: one.get(way.name) ?? [], together });
  }
  report(results, spans);
  await node.down();
}

function report(results: readonly Result[], spans: string): void {
  const [base] = results;
  const baseMs = percentile(base?.one ?? [], 50);
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ aimMs, results })}\n`);
    return;
  }
  const header = ["Pod Ready, ms", "p50", "p95", "over no claim", "at once p50", "p95", `aim: ${aimMs} over`];
  const rows = results.map(({ way, one, together }) => {
    const over = percentile(one, 50) - baseMs;
    const times = [percentile(one, 50), percentile(one, 95), over, percentile(together, 50), percentile(together, 95)];
    return [way, ...times.map((ms) => ms.toFixed(0)), way === base?.way ? "" : over <= aimMs ? "met" : "NOT met"];
  });
  process.stdout.write(`${textTable(header, rows)}${spans}`);
}

await runIsolated(main);
