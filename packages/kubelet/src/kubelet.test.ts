import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, watch } from "node:fs";
import { request } from "node:https";
import { dirname, join } from "node:path";
import { PassThrough } from "node:stream";
import { after, before, test } from "node:test";
import type { ConfigMap, ContainerStatus, Node, Pod } from "@tripod/api/kubernetes";
import { cgroupExists, mountInfo } from "@tripod/linux";
import { execOverSpdy } from "@tripod/streaming";
import { askKubelet, type Caller } from "./testing/ask-kubelet.ts";
import { startTestCluster, type TestCluster, testNodeName } from "./testing/test-cluster.ts";

let cluster: TestCluster;

before(async () => {
  cluster = await startTestCluster("tripod");
});
after(() => cluster[Symbol.asyncDispose]());

const isReady = (pod: Pod): boolean => pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
const statusOf = (pod: Pod, name: string): ContainerStatus | undefined =>
  [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])].find(
    (status) => status.name === name,
  );
const container = (name: string, script: string, more: object = {}) => ({
  name,
  image: cluster.image,
  command: ["sh", "-c", script],
  ...more,
});
/** A script that ends at once when it is asked to. */
const wait = "trap 'exit 0' TERM; while true; do sleep 0.1; done";

const get = (path: string, as?: Caller, method?: "GET" | "POST") => askKubelet(cluster, path, as, method);

/** Resolves when there is nothing at the path any more. */
async function removed(path: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const check = (): void => {
    if (!existsSync(path)) resolve();
  };
  const watcher = watch(dirname(path), check);
  check();
  await promise;
  watcher.close();
}

async function remove(name: string): Promise<void> {
  cluster.api.delete("pods", `default/${name}`);
  await cluster.gone(name);
}

test("the node registers, becomes Ready and renews its lease", async () => {
  const node = await cluster.api.until<Node>(
    "nodes",
    testNodeName,
    (found) => found?.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True",
  );
  assert.equal(node.metadata?.labels?.["kubernetes.io/hostname"], testNodeName);
  assert.match(node.status?.nodeInfo?.containerRuntimeVersion ?? "", /^tripod:\/\//);
  assert.equal(node.status?.daemonEndpoints?.kubeletEndpoint?.Port, cluster.kubelet.port);
  await cluster.api.until("leases", `kube-node-lease/${testNodeName}`, (lease) => lease !== undefined);
  await cluster.api.until("csinodes", testNodeName, (found) => found !== undefined);
  const { runtimeHandlers, features } = node.status ?? {};
  assert.ok(runtimeHandlers?.some(({ name, features: of }) => name === "" && of?.recursiveReadOnlyMounts === true));
  assert.equal(features?.supplementalGroupsPolicy, true);
});

test("a Pod of two containers runs, can be asked for its logs and leaves nothing behind", async () => {
  cluster.createPod("two", {
    containers: [
      container("web", `echo "hello from $MY_IP"; echo oops >&2; echo shared > /data/file; ${wait}`, {
        env: [{ name: "MY_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } }],
        volumeMounts: [{ name: "data", mountPath: "/data" }],
      }),
      container("side", `until [ -s /data/file ]; do sleep 0.05; done; cat /data/file; ${wait}`, {
        volumeMounts: [{ name: "data", mountPath: "/data" }],
      }),
    ],
    volumes: [{ name: "data", emptyDir: {} }],
  });
  const pod = await cluster.pod("two", isReady);
  const uid = pod.metadata?.uid ?? "";
  assert.equal(pod.status?.phase, "Running");
  assert.equal(pod.status?.qosClass, "BestEffort");
  assert.match(statusOf(pod, "web")?.containerID ?? "", /^tripod:\/\/[0-9a-f]{64}$/);
  const ready = pod.status?.conditions?.find(({ type }) => type === "Ready");
  assert.equal(ready?.reason, undefined);
  const log = await get("/containerLogs/default/two/web");
  assert.deepEqual(log.body.split("\n").toSorted(), ["", `hello from ${pod.status?.podIP}`, "oops"]);
  assert.equal((await get("/containerLogs/default/two/web?stream=Stdout")).body, `hello from ${pod.status?.podIP}\n`);
  assert.ok(cgroupExists(`${cluster.layout.cgroupParent}/kubepods/besteffort/pod${uid}`));
  assert.ok(cluster.events("two").includes("Started: Started container web"));
  await remove("two");
  assert.equal(existsSync(join(cluster.layout.kubeletDir, "pods", uid)), false);
  assert.deepEqual(readdirSync(cluster.layout.podLogsDir), []);
  assert.equal(cgroupExists(`${cluster.layout.cgroupParent}/kubepods/besteffort/pod${uid}`), false);
});

test("init containers run in order, and a sidecar runs before and beside the containers", async () => {
  const mount = { volumeMounts: [{ name: "v", mountPath: "/v" }] };
  cluster.createPod("inits", {
    restartPolicy: "Never",
    initContainers: [
      container("one", "echo one >> /v/order", mount),
      container("sidecar", `echo sidecar >> /v/order; ${wait}`, { ...mount, restartPolicy: "Always" }),
      container("two", "until grep -q sidecar /v/order; do sleep 0.05; done; echo two >> /v/order", mount),
    ],
    containers: [container("main", "echo main >> /v/order; cat /v/order", mount)],
    volumes: [{ name: "v", emptyDir: {} }],
  });
  const pod = await cluster.pod("inits", ({ status }) => status?.phase === "Succeeded");
  assert.equal((await get("/containerLogs/default/inits/main")).body, "one\nsidecar\ntwo\nmain\n");
  assert.equal(statusOf(pod, "one")?.state?.terminated?.reason, "Completed");
  assert.notEqual(statusOf(pod, "sidecar")?.state?.terminated, undefined);
  await remove("inits");
});

test("a failing init container of a Pod that never restarts fails the Pod", async () => {
  cluster.createPod("badinit", {
    restartPolicy: "Never",
    initContainers: [container("init", "echo no luck > /dev/termination-log; exit 3")],
    containers: [container("main", wait)],
  });
  const pod = await cluster.pod("badinit", ({ status }) => status?.phase === "Failed");
  assert.equal(statusOf(pod, "init")?.state?.terminated?.exitCode, 3);
  assert.equal(statusOf(pod, "init")?.state?.terminated?.message, "no luck\n");
  await remove("badinit");
});

test("a crashing container is restarted at once, then backs off, and its last log can be read", async () => {
  cluster.createPod("crash", { containers: [container("c", "echo run; exit 7")] });
  const pod = await cluster.pod(
    "crash",
    (found) => statusOf(found, "c")?.state?.waiting?.reason === "CrashLoopBackOff",
  );
  assert.equal(statusOf(pod, "c")?.restartCount, 1);
  assert.equal(statusOf(pod, "c")?.lastState?.terminated?.exitCode, 7);
  assert.equal((await get("/containerLogs/default/crash/c?previous=true")).body, "run\n");
  await remove("crash");
});

test("an image that is not there gives ErrImagePull, then ImagePullBackOff, with the registry's reason", async () => {
  const image = `${cluster.registry.host}/nothing:1`;
  cluster.createPod("noimage", { containers: [{ name: "c", image }] });
  await cluster.pod("noimage", (pod) => statusOf(pod, "c")?.state?.waiting?.reason === "ErrImagePull");
  const pod = await cluster.pod(
    "noimage",
    (found) => statusOf(found, "c")?.state?.waiting?.reason === "ImagePullBackOff",
  );
  assert.equal(pod.status?.phase, "Pending");
  const failed = cluster.events("noimage").find((text) => text.startsWith("Failed: Failed to pull image")) ?? "";
  assert.match(failed, /not found|unknown|404/i);
  await remove("noimage");
});

test("a name that is no image name waits as InvalidImageName, and an Event says what is wrong with it", async () => {
  cluster.createPod("badname", { containers: [{ name: "c", image: "Not/Lower:1" }] });
  await cluster.pod("badname", (pod) => statusOf(pod, "c")?.state?.waiting?.reason === "InvalidImageName");
  const event = cluster.events("badname").find((text) => text.startsWith("InspectFailed:")) ?? "";
  assert.match(event, /"Not\/Lower:1".*lower case/);
  await remove("badname");
});

test("a pull secret that does not exist is told of, and the pull is tried without", async () => {
  cluster.createPod("nosecret", {
    imagePullSecrets: [{ name: "absent" }],
    containers: [container("c", wait)],
  });
  await cluster.pod("nosecret", (pod) => pod.status?.phase === "Running");
  const event = cluster.events("nosecret").find((text) => text.startsWith("FailedToRetrieveImagePullSecret:")) ?? "";
  assert.match(event, /\(absent\)/);
  await remove("nosecret");
});

test("a missing ConfigMap holds the container up until it is created", async () => {
  cluster.createPod("config", {
    containers: [
      container("c", `echo "$GREETING"; ${wait}`, {
        env: [{ name: "GREETING", valueFrom: { configMapKeyRef: { name: "late", key: "greeting" } } }],
      }),
    ],
  });
  const pod = await cluster.pod(
    "config",
    (found) => statusOf(found, "c")?.state?.waiting?.reason === "CreateContainerConfigError",
  );
  assert.match(statusOf(pod, "c")?.state?.waiting?.message ?? "", /configmap "late" not found/);
  cluster.api.create<ConfigMap>("configmaps", {
    metadata: { name: "late", namespace: "default" },
    data: { greeting: "good day" },
  });
  await cluster.pod("config", isReady);
  // Followed, for the container runs before it has spoken.
  const { body } = await followUntil("/containerLogs/default/config/c?follow=true", (text) => text.endsWith("\n"));
  assert.equal(body, "good day\n");
  await remove("config");
});

test("volumes from the API are written, and change while the Pod runs", async () => {
  cluster.api.create<ConfigMap>("configmaps", {
    metadata: { name: "live", namespace: "default" },
    data: { a: "first" },
  });
  cluster.api.create("secrets", {
    metadata: { name: "key", namespace: "default" },
    data: { password: Buffer.from("s3cret").toString("base64") },
  } as object as Pod);
  cluster.createPod("live", {
    serviceAccountName: "default",
    containers: [
      container("c", `until [ "$(cat /all/a)" = second ]; do sleep 0.05; done; cat /all/*; ls /all; ${wait}`, {
        volumeMounts: [{ name: "all", mountPath: "/all" }],
      }),
    ],
    volumes: [
      {
        name: "all",
        projected: {
          sources: [
            { configMap: { name: "live" } },
            { secret: { name: "key" } },
            { serviceAccountToken: { path: "token", expirationSeconds: 3600 } },
            { downwardAPI: { items: [{ path: "name", fieldRef: { fieldPath: "metadata.name" } }] } },
          ],
        },
      },
    ],
  });
  const pod = await cluster.pod("live", isReady);
  cluster.api.update("configmaps", "default/live", (found) => ({ ...found, data: { a: "second" } }) as typeof found);
  const { body } = await followUntil("/containerLogs/default/live/c?follow=true", (text) => text.includes("token\n"));
  assert.equal(body, "secondlives3crettoken-1a\nname\npassword\ntoken\n");
  const dir = join(cluster.layout.kubeletDir, "pods", pod.metadata?.uid ?? "", "volumes/kubernetes.io~projected/all");
  assert.equal(mountInfo().find(({ mountPoint }) => mountPoint === dir)?.type, "tmpfs");
  await remove("live");
  assert.equal(
    mountInfo().some(({ mountPoint }) => mountPoint.startsWith(cluster.layout.kubeletDir)),
    false,
  );
});

/** Follows a log until its text satisfies the condition, and hangs up. */
function followUntil(path: string, done: (text: string) => boolean): Promise<{ body: string }> {
  const { ca, clientCert: cert, clientKey: key } = cluster.certificates;
  return new Promise((resolve, reject) => {
    const call = request(
      { host: "127.0.0.1", port: cluster.kubelet.port, path, ca, cert, key, agent: false },
      (reply) => {
        let body = "";
        reply.on("data", (chunk: Buffer) => {
          body += chunk.toString();
          if (!done(body)) return;
          reply.destroy();
          resolve({ body });
        });
        reply.on("end", () => resolve({ body }));
      },
    );
    call.on("error", reject);
    call.end();
  });
}

test("following a log ends when the container ends", async () => {
  cluster.createPod("follow", {
    restartPolicy: "Never",
    containers: [container("c", "for i in 1 2 3; do echo $i; sleep 0.1; done")],
  });
  await cluster.pod("follow", ({ status }) => status?.phase === "Running" || status?.phase === "Succeeded");
  assert.equal((await get("/containerLogs/default/follow/c?follow=true")).body, "1\n2\n3\n");
  await cluster.pod("follow", ({ status }) => status?.phase === "Succeeded");
  await remove("follow");
});

test("probes: readiness follows the container, a failed liveness probe restarts it", async () => {
  cluster.createPod("probes", {
    containers: [
      container("c", `sleep 0.3; touch /tmp/ready; ${wait}`, {
        startupProbe: { exec: { command: ["true"] }, periodSeconds: 1 },
        readinessProbe: { exec: { command: ["test", "-e", "/tmp/ready"] }, periodSeconds: 1 },
        livenessProbe: { exec: { command: ["test", "!", "-e", "/tmp/sick"] }, periodSeconds: 1, failureThreshold: 1 },
      }),
    ],
  });
  await cluster.pod("probes", isReady);
  const said = await exec("probes", "c", ["touch", "/tmp/sick"]);
  assert.equal(said, "");
  const pod = await cluster.pod("probes", (found) => (statusOf(found, "c")?.restartCount ?? 0) > 0 && isReady(found));
  assert.ok(statusOf(pod, "c")?.lastState?.terminated !== undefined);
  assert.ok(cluster.events("probes").some((text) => text.startsWith("Killing: Container c failed liveness probe")));
  await remove("probes");
});

/** Runs a command in a container through the kubelet's endpoint, as the API server does; its output. */
async function exec(pod: string, name: string, command: readonly string[]): Promise<string> {
  const { ca, clientCert: cert, clientKey: key } = cluster.certificates;
  const query = new URLSearchParams([["output", "1"], ["error", "1"], ...command.map((word) => ["command", word])]);
  const url = `https://127.0.0.1:${cluster.kubelet.port}/exec/default/${pod}/${name}?${query.toString()}`;
  const stdout = new PassThrough();
  const text = stdout.toArray();
  await execOverSpdy({ url, tls: { ca, cert, key }, stdout, stderr: new PassThrough().resume() });
  stdout.end();
  return Buffer.concat(await text).toString();
}

test("exec reaches the container, and only the API server may ask", async () => {
  cluster.createPod("exec", { containers: [container("c", wait)] });
  await cluster.pod("exec", isReady);
  assert.equal(await exec("exec", "c", ["echo", "hi there"]), "hi there\n");
  assert.equal((await get("/pods", "nobody")).status, 401);
  assert.equal((await get("/pods", "stranger")).status, 403);
  assert.equal((await get("/containerLogs/default/exec/other")).status, 404);
  const stats = JSON.parse((await get("/stats/summary")).body) as { pods: { podRef: { name: string } }[] }; // its own format
  assert.ok(stats.pods.some(({ podRef }) => podRef.name === "exec"));
  await remove("exec");
});

test("a checkpoint is asked of the runtime, whose archive or reason is the answer", async () => {
  cluster.createPod("frozen", { containers: [container("c", wait)] });
  await cluster.pod("frozen", isReady);
  const checkpoint = (path: string, as: "client" | "nobody" = "client") =>
    get(`/checkpoint/default/${path}`, as, "POST");
  assert.equal((await checkpoint("frozen/c", "nobody")).status, 401);
  assert.equal((await get("/checkpoint/default/frozen/c")).status, 400);
  assert.equal((await checkpoint("absent/c")).status, 404);
  assert.equal((await checkpoint("frozen/other")).status, 404);
  assert.equal((await checkpoint("frozen/c?timeout=long")).status, 400);
  const folder = join(cluster.layout.kubeletDir, "checkpoints");
  const { status, body } = await checkpoint("frozen/c?timeout=60");
  if (status === 200) {
    const { items } = JSON.parse(body) as { items: string[] };
    assert.equal(items.length, 1);
    assert.ok(items[0]?.startsWith(join(folder, "checkpoint-frozen_default-c-")));
    assert.deepEqual(
      items,
      readdirSync(folder).map((name) => join(folder, name)),
    );
  } else {
    assert.equal(status, 500, body);
    assert.match(body, /checkpointing of default\/frozen\/c failed \(.*criu/);
    assert.deepEqual(readdirSync(folder), []);
  }
  await remove("frozen");
});

test("after a restart the kubelet takes its Pods over, and cleans up those that were deleted meanwhile", async () => {
  cluster.createPod("stays", { containers: [container("c", wait)] });
  cluster.createPod("goes", { containers: [container("c", wait)] });
  const before = await cluster.pod("stays", isReady);
  const orphan = await cluster.pod("goes", isReady);
  await cluster.kubelet.close();
  cluster.api.delete("pods", "default/goes", 0);
  await cluster.restart();
  await removed(join(cluster.layout.podLogsDir, `default_goes_${orphan.metadata?.uid}`));
  const now = await cluster.pod("stays", isReady);
  assert.equal(statusOf(now, "c")?.containerID, statusOf(before, "c")?.containerID);
  assert.equal(statusOf(now, "c")?.restartCount, 0);
  await remove("stays");
});

test("a subPath cannot lead out of its volume", async () => {
  cluster.createPod("subpath", {
    initContainers: [
      container("evil", "ln -s /../../../../../../../../tmp /v/link; mkdir /v/tmp /v/good; echo fine > /v/good/file", {
        volumeMounts: [{ name: "v", mountPath: "/v" }],
      }),
    ],
    containers: [
      container("c", `cat /good/file; ls /link; ${wait}`, {
        volumeMounts: [
          { name: "v", mountPath: "/good", subPath: "good" },
          { name: "v", mountPath: "/link", subPath: "link/inside" },
        ],
      }),
    ],
    volumes: [{ name: "v", emptyDir: {} }],
  });
  const pod = await cluster.pod("subpath", isReady);
  const dir = join(cluster.layout.kubeletDir, "pods", pod.metadata?.uid ?? "", "volumes/kubernetes.io~empty-dir/v");
  // The link's target was resolved inside the volume, and made there.
  assert.ok(existsSync(join(dir, "tmp/inside")));
  // It may be Ready before it has said that.
  assert.equal((await get("/containerLogs/default/subpath/c?follow=true&limitBytes=5")).body, "fine\n");
  await remove("subpath");
  assert.equal(readFileSync("/proc/self/mountinfo", "utf8").includes("volume-subpaths"), false);
});
