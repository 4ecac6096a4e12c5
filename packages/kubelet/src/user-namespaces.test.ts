import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Pod } from "@tripod/api/kubernetes";
import { GrpcChannel } from "@tripod/grpc";
import { RuntimeService } from "@tripod/api/cri";
import { startTestCluster, type TestCluster } from "./testing/test-cluster.ts";

let cluster: TestCluster;
let able = false;
before(async () => {
  cluster = await startTestCluster("tripod");
  using channel = new GrpcChannel({ socket: cluster.peer.socket });
  const { runtimeHandlers } = await channel.client(RuntimeService).status({});
  able = runtimeHandlers.find(({ name }) => name === "")?.features?.userNamespaces ?? false;
});
after(() => cluster?.[Symbol.asyncDispose]());

const isReady = (pod: Pod): boolean => pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
const wait = "trap 'exit 0' TERM; while true; do sleep 0.1; done";
const podDir = (pod: Pod): string => join(cluster.layout.kubeletDir, "pods", pod.metadata?.uid ?? "");
const hostIdOf = (pod: Pod): number =>
  JSON.parse(readFileSync(join(podDir(pod), "userns"), "utf8")).uidMappings[0].hostId;
/** What its container has said into its emptyDir, as it is on the node. */
const saidBy = (pod: Pod): string => readFileSync(join(emptyDir(pod), "said"), "utf8");
const emptyDir = (pod: Pod): string => join(podDir(pod), "volumes/kubernetes.io~empty-dir/empty");
const container = (commands: readonly string[]) => ({
  name: "c",
  image: cluster.image,
  command: ["sh", "-c", `(${commands.join("; ")}) > /empty/said 2>&1; touch /empty/done; ${wait}`],
  readinessProbe: { exec: { command: ["test", "-e", "/empty/done"] }, periodSeconds: 1 },
});
async function remove(name: string): Promise<void> {
  cluster.api.delete("pods", `default/${name}`);
  await cluster.gone(name);
}
const commands = [
  "tr -s ' ' < /proc/self/uid_map",
  "id -u",
  "touch /empty/mine",
  "stat -c '%u:%g' /empty/mine /conf/key /etc/hosts /host/file",
  "echo last words > /dev/termination-log",
];

function createPod(name: string): void {
  cluster.createPod(name, {
    hostUsers: false,
    containers: [
      {
        ...container(commands),
        volumeMounts: [
          { name: "empty", mountPath: "/empty" },
          { name: "conf", mountPath: "/conf" },
          { name: "host", mountPath: "/host" },
        ],
      },
    ],
    volumes: [
      { name: "empty", emptyDir: {} },
      { name: "conf", configMap: { name: "conf" } },
      { name: "host", hostPath: { path: join(cluster.layout.root ?? "", "host") } },
    ],
  });
}

test("Pods with hostUsers: false have users of their own, also in volumes and after the kubelet's restart", async (t) => {
  if (!able) return t.skip("this machine cannot run Pods in user namespaces");
  const host = join(cluster.layout.root ?? "", "host");
  mkdirSync(host);
  writeFileSync(join(host, "file"), "");
  cluster.api.create("configmaps", { metadata: { name: "conf", namespace: "default" }, data: { key: "value" } });
  const said = (hostId: number): string => ` 0 ${hostId} 65536\n0\n${"0:0\n".repeat(4)}`;

  createPod("one");
  const one = await cluster.pod("one", isReady);
  assert.equal(hostIdOf(one), 65_536);
  assert.equal(saidBy(one), said(65_536));
  // Volumes are the Pod's own from inside alone: on the disk their files belong to whom the container calls them.
  assert.equal(statSync(join(emptyDir(one), "mine")).uid, 0);

  await cluster.restart();
  createPod("two");
  const two = await cluster.pod("two", isReady);
  assert.equal(hostIdOf(two), 131_072);
  assert.equal(saidBy(two), said(131_072));
  assert.equal(hostIdOf(one), 65_536);

  await remove("one");
  assert.ok(!existsSync(podDir(one)));
  createPod("three");
  const three = await cluster.pod("three", isReady);
  assert.equal(hostIdOf(three), 65_536);
  await remove("two");
  await remove("three");
  assert.deepEqual(readdirSync(join(cluster.layout.kubeletDir, "pods")), []);
});

test("a Pod of the host's users has no range", async () => {
  cluster.createPod("plain", {
    containers: [
      { ...container(["tr -s ' ' < /proc/self/uid_map"]), volumeMounts: [{ name: "empty", mountPath: "/empty" }] },
    ],
    volumes: [{ name: "empty", emptyDir: {} }],
  });
  const pod = await cluster.pod("plain", isReady);
  assert.equal(saidBy(pod), " 0 0 4294967295\n");
  assert.ok(!existsSync(join(podDir(pod), "userns")));
  await remove("plain");
});

test("where the runtime handler has no user namespaces, a Pod that wants one is refused with an Event and never runs", async () => {
  cluster.api.create("runtimeclasses", { metadata: { name: "none" }, handler: "none" });
  cluster.createPod("refused", {
    hostUsers: false,
    runtimeClassName: "none",
    containers: [{ name: "c", image: cluster.image, command: ["true"] }],
  });
  await cluster.told(
    "refused",
    'FailedCreatePodSandBox: Failed to create pod sandbox: hostUsers is false, and runtime handler "none" has no user namespaces',
  );
  const pod = await cluster.pod("refused", () => true);
  assert.equal(pod.status?.phase ?? "Pending", "Pending");
  await remove("refused");
});
