import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ContainerStatus, Node, Pod } from "@tripod/api/kubernetes";
import { until } from "@tripod/testing";
import { startTestCluster, type TestCluster, testNodeName } from "./testing/test-cluster.ts";

let cluster: TestCluster;
before(async () => {
  cluster = await startTestCluster("tripod");
});
after(() => cluster[Symbol.asyncDispose]());

const isReady = (pod: Pod): boolean => pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
const first = (pod: Pod): ContainerStatus | undefined => pod.status?.containerStatuses?.[0];
const wait = "trap 'exit 0' TERM; while true; do sleep 0.1; done";
const container = (script: string, more: object = {}) => ({
  name: "c",
  image: cluster.image,
  command: ["sh", "-c", script],
  ...more,
});
const logOf = (pod: Pod): string => {
  const { name = "", uid = "" } = pod.metadata;
  const text = readFileSync(join(cluster.layout.podLogsDir, `default_${name}_${uid}/c/0.log`), "utf8");
  return text.replace(/^\S+ std(out|err) F /gm, "");
};
async function remove(name: string): Promise<void> {
  cluster.api.delete("pods", `default/${name}`);
  await cluster.gone(name);
}

test("hooks run: postStart before the Pod is Ready, preStop before the container ends", async () => {
  const host = join(cluster.layout.root ?? "", "hooks");
  cluster.createPod("hooks", {
    terminationGracePeriodSeconds: 5,
    containers: [
      container(wait, {
        volumeMounts: [{ name: "h", mountPath: "/h" }],
        lifecycle: {
          postStart: { exec: { command: ["sh", "-c", "echo post >> /h/order"] } },
          preStop: { exec: { command: ["sh", "-c", "echo pre >> /h/order"] } },
        },
      }),
    ],
    volumes: [{ name: "h", hostPath: { path: host, type: "DirectoryOrCreate" } }],
  });
  await cluster.pod("hooks", isReady);
  assert.equal(readFileSync(join(host, "order"), "utf8"), "post\n");
  await remove("hooks");
  assert.equal(readFileSync(join(host, "order"), "utf8"), "post\npre\n");
});

test("a Pod that is active for too long fails", async () => {
  cluster.createPod("deadline", { activeDeadlineSeconds: 1, containers: [container(wait)] });
  const pod = await cluster.pod("deadline", ({ status }) => status?.phase === "Failed");
  assert.equal(pod.status?.reason, "DeadlineExceeded");
  await remove("deadline");
});

test("a shorter grace period ends a Pod that is ending already", async () => {
  cluster.createPod("stubborn", {
    terminationGracePeriodSeconds: 300,
    containers: [container("trap '' TERM; while true; do sleep 0.1; done")],
  });
  await cluster.pod("stubborn", isReady);
  cluster.api.delete("pods", "default/stubborn", 300);
  await cluster.told("stubborn", "Stopping container c");
  cluster.api.delete("pods", "default/stubborn", 1);
  await cluster.gone("stubborn");
});

test("a Pod on the host's network has the host's address and its containers share its processes", async () => {
  cluster.createPod("host", {
    hostNetwork: true,
    shareProcessNamespace: true,
    hostAliases: [{ ip: "192.0.2.9", hostnames: ["friend"] }],
    restartPolicy: "Never",
    containers: [container("grep friend /etc/hosts")],
  });
  const pod = await cluster.pod("host", ({ status }) => status?.phase === "Succeeded");
  assert.equal(pod.status?.podIP, "127.0.0.1");
  assert.match(logOf(pod), /192\.0\.2\.9\tfriend/);
  await remove("host");
});

test("users, groups, capabilities and a read-only root reach the container", async () => {
  cluster.createPod("secure", {
    restartPolicy: "Never",
    securityContext: { runAsUser: 1234, runAsGroup: 5678, fsGroup: 4321 },
    containers: [
      container(`id; touch /x; touch /v/file && ls -ln /v/file; grep NoNewPrivs /proc/self/status`, {
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        },
        volumeMounts: [{ name: "v", mountPath: "/v" }],
      }),
    ],
    volumes: [{ name: "v", emptyDir: {} }],
  });
  const pod = await cluster.pod("secure", ({ status }) => status?.phase === "Succeeded");
  const log = logOf(pod);
  assert.match(log, /uid=1234 gid=5678 groups=.*4321/);
  assert.match(log, /x: Read-only file system/);
  assert.match(log, /1234 +4321/);
  assert.match(log, /NoNewPrivs:\s1/);
  await remove("secure");
});

test("a memory limit is the container's, and being over it is OOMKilled", async () => {
  cluster.createPod("greedy", {
    restartPolicy: "Never",
    containers: [container("head -c 100000000 /dev/zero | tail", { resources: { limits: { memory: "16Mi" } } })],
  });
  const pod = await cluster.pod("greedy", ({ status }) => status?.phase === "Failed");
  assert.equal(first(pod)?.state?.terminated?.reason, "OOMKilled");
  assert.equal(pod.status?.qosClass, "Burstable");
  await remove("greedy");
});

test("an emptyDir in memory has its size limit", async () => {
  cluster.createPod("memory", {
    restartPolicy: "Never",
    containers: [
      container("dd if=/dev/zero of=/m/x bs=1M count=4 2>&1 | grep -c 'No space'; df -k /m | tail -1", {
        volumeMounts: [{ name: "m", mountPath: "/m" }],
      }),
    ],
    volumes: [{ name: "m", emptyDir: { medium: "Memory", sizeLimit: "2Mi" } }],
  });
  const pod = await cluster.pod("memory", ({ status }) => status?.phase === "Succeeded");
  assert.match(logOf(pod), /^1\n.* 2048 /s);
  await remove("memory");
});

test("a command that does not exist is an error with the runtime's reason, and is tried again", async () => {
  cluster.createPod("nocommand", { containers: [{ name: "c", image: cluster.image, command: ["/does/not/exist"] }] });
  const pod = await cluster.pod("nocommand", (found) => first(found)?.state?.waiting?.message !== undefined);
  assert.match(first(pod)?.state?.waiting?.reason ?? "", /^(CreateContainerError|RunContainerError)$/);
  assert.match(first(pod)?.state?.waiting?.message ?? "", /does\/not\/exist/);
  await remove("nocommand");
});

test("a volume that cannot be mounted is an Event that names the cause", async () => {
  cluster.createPod("nopath", {
    containers: [container(wait, { volumeMounts: [{ name: "h", mountPath: "/h" }] })],
    volumes: [{ name: "h", hostPath: { path: join(cluster.layout.root ?? "", "missing"), type: "Directory" } }],
  });
  await cluster.told("nopath", 'MountVolume.SetUp failed for volume "h" : hostPath type check failed');
  mkdirSync(join(cluster.layout.root ?? "", "missing"));
  await cluster.pod("nopath", isReady);
  await remove("nopath");
});

test("a broken CNI configuration leaves the node NotReady and names the file, and its repair is seen", async () => {
  const ready = (node: Node | undefined, status: string): boolean =>
    node?.status?.conditions?.find(({ type }) => type === "Ready")?.status === status;
  await cluster.api.until<Node>("nodes", testNodeName, (node) => ready(node, "True"));
  const path = join(cluster.layout.cniConfDir, "10-test.conflist");
  const good = readFileSync(path, "utf8");
  writeFileSync(path, "{ broken");
  const node = await cluster.api.until<Node>("nodes", testNodeName, (found) => ready(found, "False"));
  const message = node.status?.conditions?.find(({ type }) => type === "Ready")?.message ?? "";
  assert.match(message, /container runtime network not ready: .*10-test\.conflist/);
  writeFileSync(path, good);
  await cluster.api.until<Node>("nodes", testNodeName, (found) => ready(found, "True"));
  assert.ok(existsSync(path));
});

test("a volume may be an image, whole or a part of it, read-only; one that cannot be pulled is told and waited for", async () => {
  const missing = `${cluster.registry.host}/nobody/knows:1`;
  const user = (reference: string) => ({
    containers: [
      container(`test -x /whole/bin/sh && test -e /part/sh && ! touch /whole/x 2>/dev/null && echo seen; ${wait}`, {
        volumeMounts: [
          { name: "i", mountPath: "/whole" },
          { name: "i", mountPath: "/part", subPath: "bin" },
        ],
      }),
    ],
    volumes: [{ name: "i", image: { reference, pullPolicy: "IfNotPresent" as const } }],
  });
  cluster.createPod("image", user(cluster.image));
  const pod = await cluster.pod("image", isReady);
  await until("the container has looked", () => logOf(pod) !== "");
  assert.equal(logOf(pod), "seen\n");
  await remove("image");
  const { containers, volumes } = user(missing);
  cluster.createPod("no-image", { containers: [...containers, container(wait, { name: "beside" })], volumes });
  const waits = (wanted: string) => (found: Pod) => {
    const state = (name: string) => found.status?.containerStatuses?.find((each) => each.name === name)?.state;
    return state("c")?.waiting?.reason === wanted && state("beside")?.running !== undefined;
  };
  await cluster.pod("no-image", waits("ImagePullBackOff"));
  for (const text of [
    `Failed: Failed to pull image "${missing}"`,
    "Failed: Error: ErrImagePull",
    `BackOff: Back-off pulling image "${missing}"`,
  ])
    await cluster.told("no-image", text);
  assert.ok(!cluster.events("no-image").some((each) => each.startsWith("FailedMount")));
  await remove("no-image");
});

test("an image volume that waits for its registry holds neither another container nor another Pod, and the container waits as ever", async () => {
  await using stack = new AsyncDisposableStack();
  const asked = Promise.withResolvers<void>();
  const silent = createServer(() => asked.resolve());
  stack.defer(() => {
    silent.close();
    silent.closeAllConnections();
  });
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as AddressInfo; // it listens on TCP
  cluster.createPod("slow", {
    containers: [
      container(wait, { volumeMounts: [{ name: "i", mountPath: "/i" }] }),
      container(wait, { name: "beside" }),
    ],
    volumes: [{ name: "i", image: { reference: `127.0.0.1:${port}/never:1` } }],
  });
  await asked.promise;
  const slow = await cluster.pod("slow", ({ status }) => {
    const beside = status?.containerStatuses?.find(({ name }) => name === "beside");
    return beside?.state?.running !== undefined;
  });
  const held = slow.status?.containerStatuses?.find(({ name }) => name === "c");
  assert.equal(held?.state?.waiting?.reason, "ContainerCreating");
  cluster.createPod("other", { containers: [container(wait)] });
  await cluster.pod("other", isReady);
  for (const name of ["other", "slow"]) await remove(name);
});
