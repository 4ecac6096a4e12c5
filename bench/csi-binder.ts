// Times the binding of claims to volumes that are there, through a real API server and the real controllers, for growing numbers of both.
//   node bench/csi-binder.ts [--sizes 100,250,500,1000] [--json]
// The time for each claim should not depend on how many there are.
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startApiServer } from "@tripod/apiserver";
import { layoutOf, silentLogger } from "@tripod/base";
import { startControllers } from "@tripod/controllers";
import { KubeClient, persistentVolumeClaims, persistentVolumes } from "@tripod/kube";
import { metOrNot, textTable } from "./comparison.ts";
import { timed } from "./statistics.ts";

const { values } = parseArgs({
  options: {
    sizes: { type: "string", default: "100,250,500,1000" },
    json: { type: "boolean", default: false },
  },
});

/** How much more a claim may take among the most than among the fewest. */
const aimFactor = 1.5;
const where = { namespace: "default" };

/** Which of the two is there before the other is made. */
type Order = "volumes first" | "claims first";
const orders: readonly Order[] = ["volumes first", "claims first"];

/** Milliseconds from the creation of the first of `count` claims, or volumes, until all are bound to those that were there before. */
async function timeBinding(count: number, order: Order): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const root = mkdtempSync("/tmp/tripod-bench-");
  stack.defer(() => rmSync(root, { recursive: true, force: true }));
  const layout = layoutOf(root);
  const log = silentLogger;
  const server = await startApiServer({ layout, address: "127.0.0.1", port: 0, nodeName: "n1", log });
  stack.defer(() => server.close());
  const { pkiDir, pluginsRegistryDir } = layout;
  const kubeconfig = join(pkiDir, "controllers.kubeconfig");
  const controllers = await startControllers({ kubeconfig, pluginsRegistryDir, log });
  stack.defer(() => controllers.close());
  const client = stack.use(KubeClient.fromKubeconfig(layout.kubeconfig));
  const [volumes, claims] = [client.resource(persistentVolumes), client.resource(persistentVolumeClaims)];
  const shared = { accessModes: ["ReadWriteOnce" as const], storageClassName: "manual" };
  const sizeOf = (index: number) => ({ storage: `${1 + (index % 100)}Gi` });
  const makeVolume = (index: number) =>
    volumes.create({
      metadata: { name: `v${index}` },
      spec: { ...shared, capacity: sizeOf(index), hostPath: { path: "/tmp/x" } },
    });
  const makeClaim = (index: number) =>
    claims.create({
      metadata: { name: `c${index}`, ...where },
      spec: { ...shared, resources: { requests: sizeOf(index) } },
    });
  const signal = AbortSignal.timeout(300_000);
  const untilClaimsAre = (phase: string): Promise<void> =>
    untilAll(count, claims.watch({ ...where, signal }), ({ status }) => status?.phase === phase);
  if (order === "volumes first") {
    await inTurns(count, makeVolume);
    await untilAll(count, volumes.watch({ signal }), ({ status }) => status?.phase === "Available");
  } else {
    await inTurns(count, makeClaim);
    await untilClaimsAre("Pending");
  }
  const { ms } = await timed(() =>
    Promise.all([untilClaimsAre("Bound"), inTurns(count, order === "volumes first" ? makeClaim : makeVolume)]),
  );
  return ms;
}

/** Calls `work` with 0 to count - 1, ten at a time. */
async function inTurns(count: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next;
      next += 1;
      await work(index);
    }
  };
  await Promise.all(Array.from({ length: 10 }, worker));
}

async function untilAll<T extends { metadata: { name: string } }>(
  count: number,
  events: AsyncIterable<{ readonly type: string; readonly object: T }>,
  holds: (object: T) => boolean,
): Promise<void> {
  const found = new Set<string>();
  for await (const { object } of events) {
    if (holds(object)) found.add(object.metadata.name);
    if (found.size === count) return;
  }
  throw new Error(`${found.size} of ${count} came about`);
}

const results: { readonly order: Order; readonly count: number; readonly ms: number }[] = [];
for (const order of orders) {
  await timeBinding(200, order); // warms the compiler
  for (const size of values.sizes.split(",")) {
    const count = Number(size);
    results.push({ order, count, ms: await timeBinding(count, order) });
  }
}
if (values.json) process.stdout.write(`${JSON.stringify({ aimFactor, results })}\n`);
else {
  const rows = results.map(({ order, count, ms }) => [order, String(count), ms.toFixed(0), (ms / count).toFixed(2)]);
  process.stdout.write(textTable(["", "claims", "all bound, ms", "ms a claim"], rows));
  for (const order of orders) {
    const perClaim = results.filter((each) => each.order === order).map(({ count, ms }) => ms / count);
    const isFlat = (perClaim.at(-1) ?? 0) <= aimFactor * (perClaim[0] ?? 0);
    process.stdout.write(`${metOrNot(`aim: ${order}, the last at most ${aimFactor} times the first`, isFlat)}\n`);
  }
}
