import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "@tripod/api/kubernetes";
import {
  configMaps,
  events,
  namespaces,
  nodes,
  persistentVolumeClaims,
  pods,
  serviceAccounts,
  storageClasses,
} from "@tripod/kube";
import { addNode, type ControlPlane, startControlPlane } from "./control-plane.ts";

const web = (name: string, spec: Partial<Pod["spec"]> = {}): Pod => ({
  metadata: { name, namespace: "default" },
  spec: { containers: [{ name: "c", image: "x" }], ...spec },
});
const inDefault = (name: string) => ({ name, namespace: "default" });

async function untilEvent(plane: ControlPlane, reason: string, about: string): Promise<string> {
  const signal = AbortSignal.timeout(15_000);
  const resource = plane.client.resource(events);
  const { items, resourceVersion } = await resource.list({ namespace: "default" });
  const found = items.find((event) => event.reason === reason && event.involvedObject.name === about);
  if (found !== undefined) return found.message ?? "";
  for await (const { object } of resource.watch({ namespace: "default", resourceVersion, signal }))
    if (object.reason === reason && object.involvedObject.name === about) return object.message ?? "";
  throw new Error(`no event ${reason} about ${about}`);
}

test("Pods wait with a reason until there is a node for them, and then run there", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startControlPlane(stack);
  const { client } = plane;
  await client.resource(pods).create(web("early"));
  const scheduled = (pod: Pod | undefined) =>
    pod?.status?.conditions?.find((condition) => condition.type === "PodScheduled");
  const waiting = await plane.until(pods, inDefault("early"), (pod) => scheduled(pod)?.status === "False");
  assert.equal(scheduled(waiting)?.message, "no nodes available to schedule pods");
  assert.equal(await untilEvent(plane, "FailedScheduling", "early"), "no nodes available to schedule pods");

  await addNode(client, "n1");
  await plane.until(pods, inDefault("early"), (pod) => pod?.spec.nodeName === "n1");
  assert.equal(await untilEvent(plane, "Scheduled", "early"), "Successfully assigned default/early to n1");

  await client
    .resource(pods)
    .create(web("big", { containers: [{ name: "c", image: "x", resources: { requests: { cpu: "3" } } }] }));
  const refused = await plane.until(pods, inDefault("big"), (pod) => scheduled(pod)?.message?.includes("cpu") === true);
  assert.equal(scheduled(refused)?.message, "0/1 nodes are available: 1 Insufficient cpu.");
  await addNode(client, "n2", { cpu: "4" });
  await plane.until(pods, inDefault("big"), (pod) => pod?.spec.nodeName === "n2");
});

test("a Pod whose claim's class cannot be translated is told what its nodes lack", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startControlPlane(stack);
  const { client } = plane;
  await addNode(client, "n1");
  await client.resource(storageClasses).create({
    metadata: { name: "odd" },
    provisioner: "kubernetes.io/aws-ebs",
    volumeBindingMode: "WaitForFirstConsumer",
    parameters: { zone: "a" },
    allowedTopologies: [{ matchLabelExpressions: [{ key: "zone", values: ["a"] }] }],
  });
  await client.resource(persistentVolumeClaims).create({
    metadata: inDefault("data"),
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "odd" },
  });
  await client
    .resource(pods)
    .create(web("web", { volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }] }));
  const why = "0/1 nodes are available: 1 node(s) didn't match the storage class's allowed topologies.";
  assert.equal(await untilEvent(plane, "FailedScheduling", "web"), why);
});

test("many Pods at once fill nodes without overcommitting them", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startControlPlane(stack);
  await addNode(plane.client, "n1");
  await addNode(plane.client, "n2");
  const half = { containers: [{ name: "c", image: "x", resources: { requests: { cpu: "500m" } } }] };
  const names = Array.from({ length: 9 }, (_, index) => `p${index}`);
  await Promise.all(names.map((name) => plane.client.resource(pods).create(web(name, half))));
  // Eight fit; which one waits is anybody's guess.
  const signal = AbortSignal.timeout(15_000);
  const placed = new Map<string, string>();
  for await (const { object } of plane.client.resource(pods).watch({ namespace: "default", signal })) {
    if (object.spec.nodeName !== undefined) placed.set(object.metadata.name, object.spec.nodeName);
    if (placed.size === 8) break;
  }
  const counts = [...placed.values()].reduce<Record<string, number>>(
    (sum, name) => ({ ...sum, [name]: (sum[name] ?? 0) + 1 }),
    {},
  );
  assert.deepEqual(counts, { n1: 4, n2: 4 });
});

test("a node that falls silent turns Unknown and is tainted; Pods that do not stand it are evicted", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startControlPlane(stack, {
    nodeLifecycle: { gracePeriodMs: 200, lookEveryMs: 100 },
    podGc: { quarantineMs: 100 },
  });
  const { client } = plane;
  await addNode(client, "n1");
  const unreachable = { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute" } as const;
  await client
    .resource(pods)
    .create(web("brief", { tolerations: [{ ...unreachable, tolerationSeconds: 0 }], nodeName: "n1" }));
  await client.resource(pods).create(web("lasting", { tolerations: [unreachable], nodeName: "n1" }));
  await plane.until(
    nodes,
    { name: "n1" },
    (node) => node?.spec?.taints?.some((taint) => taint.key === unreachable.key) === true,
  );
  const gone = await plane.until(
    pods,
    inDefault("brief"),
    (pod) => pod === undefined || pod.metadata.deletionTimestamp !== undefined,
  );
  assert.ok(gone === undefined || gone.metadata.deletionTimestamp !== undefined);
  const lasting = await client.resource(pods).get("lasting", { namespace: "default" });
  assert.equal(lasting.metadata.deletionTimestamp, undefined);
  // Its node gone for good, nobody could end it any more.
  await client.resource(nodes).delete("n1");
  await plane.until(pods, inDefault("lasting"), (pod) => pod === undefined);
});

test("a namespace has its default objects, and goes with all that is in it", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startControlPlane(stack);
  const { client } = plane;
  await client.resource(namespaces).create({ metadata: { name: "shop" } });
  await plane.until(serviceAccounts, { name: "default", namespace: "shop" }, (account) => account !== undefined);
  const root = await plane.until(
    configMaps,
    { name: "kube-root-ca.crt", namespace: "shop" },
    (map) => map !== undefined,
  );
  assert.match(root?.data?.["ca.crt"] ?? "", /BEGIN CERTIFICATE/);
  await client.resource(serviceAccounts).delete("default", { namespace: "shop" });
  await plane.until(serviceAccounts, { name: "default", namespace: "shop" }, (account) => account !== undefined);

  await client
    .resource(configMaps)
    .create({ metadata: { name: "held", namespace: "shop", finalizers: ["example.com/hold"] } });
  await client.resource(pods).create({ ...web("p"), metadata: { name: "p", namespace: "shop" } });
  await client.resource(namespaces).delete("shop");
  const stuck = await plane.until(
    namespaces,
    { name: "shop" },
    (namespace) =>
      namespace?.status?.conditions?.some(
        (each) => each.type === "NamespaceFinalizersRemaining" && each.status === "True",
      ) === true,
  );
  assert.equal(stuck?.status?.phase, "Terminating");
  const message = stuck?.status?.conditions?.find((each) => each.type === "NamespaceFinalizersRemaining")?.message;
  assert.equal(
    message,
    "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
  );
  await client.resource(configMaps).patch("held", { metadata: { finalizers: null } }, { namespace: "shop" });
  await plane.until(namespaces, { name: "shop" }, (namespace) => namespace === undefined);
});
