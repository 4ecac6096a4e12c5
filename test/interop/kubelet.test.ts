import assert from "node:assert/strict";
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { PodSandboxState, RuntimeService } from "@tripod/api/cri";
import type { ContainerStatus, Pod } from "@tripod/api/kubernetes";
import { messageOf, randomHex, type Layout } from "@tripod/base";
import { type Client, GrpcChannel } from "@tripod/grpc";
import { cgroupExists, isolateNetwork, mountInfo, removeCgroup } from "@tripod/linux";
import { execOverSpdy, execOverWebSocket, portForwardOverSpdy } from "@tripod/streaming";
import {
  type CriProcess,
  goProgram,
  goPrograms,
  interop,
  pushBusybox,
  startCriProcess,
  startRegistry,
  tempRoot,
  until,
} from "@tripod/testing";
import { KubeletProcess, NodeMounts } from "./kubelet-process.ts";

const kubelet = goProgram(goPrograms.kubelet);
const cell = { interface: "CRI", caller: `kubelet ${goPrograms.kubelet.version.slice(1)}`, callee: "tripod cri" };
const waitForEnd = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

describe(interop(cell), { skip: "skip" in kubelet && kubelet.skip }, () => {
  const stack = new AsyncDisposableStack();
  let layout: Layout;
  let image: string;
  let mounts: NodeMounts;
  let cri: CriProcess;
  let node: KubeletProcess;
  let runtime: Client<typeof RuntimeService>;
  let cgroupRoot: string;

  const startCri = (): Promise<CriProcess> =>
    startCriProcess({
      command: mounts.enter(join(import.meta.dirname, "../../tripod"), "cri", "--root", layout.root ?? ""),
      socket: layout.criSocket,
      logFile: join(layout.root ?? "", "daemon.log"),
    });

  before(async () => {
    isolateNetwork();
    const root = stack.use(tempRoot());
    ({ layout } = root);
    chmodSync(root.path, 0o711); // a Pod's root in a user namespace is another user
    stack.defer(() => removeCgroup(layout.cgroupParent));
    const registry = stack.use(await startRegistry());
    image = await pushBusybox(registry);
    mounts = stack.use(await NodeMounts.make(join(root.path, "sysctls")));
    cri = await startCri();
    stack.defer(() => cri[Symbol.asyncDispose]());
    runtime = stack.use(new GrpcChannel({ socket: layout.criSocket })).client(RuntimeService);
    cgroupRoot = `/tripod-kubelet-${randomHex(4)}`;
    node = stack.use(
      new KubeletProcess({
        program: "path" in kubelet ? kubelet.path : "",
        dir: join(root.path, "k"),
        mounts,
        criSocket: layout.criSocket,
        cgroupRoot,
        // Not EventedPLEG: where the runtime sends what that asks for, this kubelet starts finished init containers again.
        featureGates: { PodAndContainerStatsFromCRI: true, CRIListStreaming: true, EventedPLEG: true },
      }),
    );
    node.start();
    await until("the kubelet serves", async () => {
      assert.ok(node.isRunning, node.log.slice(-4000));
      return (await ask("/healthz").catch(messageOf)) === "ok";
    });
  });
  after(() => stack.disposeAsync());

  const tls = () => ({ ca: readFileSync(node.certificate), servername: "node-a" });
  const api = "https://127.0.0.1:10250";

  /** What the kubelet's API answers. */
  function ask(path: string, method = "GET"): Promise<string> {
    return new Promise((resolve, reject) => {
      const asked = request(`${api}${path}`, { method, agent: false, ...tls() }, (response) => {
        text(response).then(
          (body) =>
            response.statusCode === 200 ? resolve(body) : reject(new Error(`${path}: ${response.statusCode} ${body}`)),
          reject,
        );
      });
      asked.once("error", reject);
      asked.end();
    });
  }

  const podsNow = async (): Promise<readonly Pod[]> =>
    // What the kubelet serves is a PodList.
    (JSON.parse(await ask("/pods")) as { readonly items: readonly Pod[] | null }).items ?? [];
  const podNow = async (name: string): Promise<Pod | undefined> =>
    (await podsNow()).find((pod) => pod.metadata?.name === `${name}-node-a`);
  const mainOf = (pod: Pod | undefined): ContainerStatus | undefined => pod?.status?.containerStatuses?.[0];
  const isReady = (pod: Pod | undefined): boolean =>
    pod?.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";

  const manifestOf = (name: string): string => join(node.podsDir, `${name}.json`);
  const put = (name: string, spec: object): void => {
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "default" }, spec };
    writeFileSync(manifestOf(name), JSON.stringify(pod));
  };
  const ready = async (name: string): Promise<Pod> => {
    let pod: Pod | undefined;
    await until(
      `Pod ${name} is ready`,
      async () => {
        pod = await podNow(name);
        return isReady(pod);
      },
      60_000,
    );
    assert.ok(pod);
    return pod;
  };

  test("a static Pod runs: init container, volume, downward fields, and a probe of each kind", async () => {
    put("web", {
      terminationGracePeriodSeconds: 2,
      initContainers: [
        {
          name: "page",
          image,
          command: ["sh", "-c", "echo a page >/www/index.html"],
          volumeMounts: [{ name: "www", mountPath: "/www" }],
        },
      ],
      containers: [
        {
          name: "main",
          image,
          command: ["sh", "-c", "echo serving on $IP; httpd -p 80 -h /www; " + waitForEnd],
          env: [{ name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } }],
          resources: { requests: { cpu: "10m", memory: "16Mi" }, limits: { memory: "64Mi" } },
          volumeMounts: [{ name: "www", mountPath: "/www" }],
          startupProbe: { tcpSocket: { port: 80 }, periodSeconds: 1 },
          readinessProbe: { httpGet: { path: "/index.html", port: 80 }, periodSeconds: 1 },
          livenessProbe: { exec: { command: ["test", "!", "-e", "/tmp/ill"] }, periodSeconds: 1, failureThreshold: 1 },
        },
      ],
      volumes: [{ name: "www", emptyDir: { medium: "Memory" } }],
    });
    const pod = await ready("web");
    assert.match(pod.status?.podIP ?? "", /^\d+\.\d+\.\d+\.\d+$/);
    assert.match(mainOf(pod)?.containerID ?? "", /^tripod:\/\/[0-9a-f]{64}$/);
    assert.equal(await ask("/containerLogs/default/web-node-a/main"), `serving on ${pod.status?.podIP}\n`);
    const cgroup = `${cgroupRoot}/kubepods/burstable`;
    assert.ok(cgroupExists(cgroup), cgroup);
  });

  test("run, exec and port-forward go through the kubelet to our streaming server", async () => {
    assert.equal(await ask("/run/default/web-node-a/main?cmd=hostname", "POST"), "web-node-a\n");
    for (const exec of [execOverSpdy, execOverWebSocket]) {
      const words = ["sh", "-c", "cat; echo err >&2; exit 6"].map((word) => `command=${encodeURIComponent(word)}`);
      const url = `${api}/exec/default/web-node-a/main?${words.join("&")}&input=1&output=1&error=1`;
      const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
      stdin.end("typed\n");
      const { exitCode } = await exec({ url, tls: tls(), stdin, stdout, stderr });
      stdout.end();
      stderr.end();
      assert.deepEqual([exitCode, await text(stdout), await text(stderr)], [6, "typed\n", "err\n"]);
    }
    await using client = await portForwardOverSpdy({ url: `${api}/portForward/default/web-node-a`, tls: tls() });
    const connection = await client.connect(80);
    connection.write("GET /index.html HTTP/1.0\r\n\r\n");
    assert.match(await text(connection), /a page\n$/);
  });

  test("a Pod in a user namespace of its own mounts an image as a volume", async (t) => {
    const { runtimeHandlers } = await runtime.status({});
    if (runtimeHandlers.find(({ name }) => name === "")?.features?.userNamespaces !== true) {
      t.skip("this machine cannot run containers in user namespaces");
      return;
    }
    put("apart", {
      hostUsers: false,
      terminationGracePeriodSeconds: 2,
      containers: [
        {
          name: "main",
          image,
          command: ["sh", "-c", `cat /proc/self/uid_map; ls /image/bin/busybox; ${waitForEnd}`],
          volumeMounts: [{ name: "image", mountPath: "/image" }],
        },
      ],
      volumes: [{ name: "image", image: { reference: image, pullPolicy: "IfNotPresent" } }],
    });
    await ready("apart");
    assert.match(
      await ask("/containerLogs/default/apart-node-a/main"),
      /^\s+0\s+[1-9]\d+\s+65536\n\/image\/bin\/busybox\n$/,
    );
  });

  test("statistics and cAdvisor's metrics come from CRI", async () => {
    // As /stats/summary is documented.
    interface Summary {
      readonly pods: readonly {
        readonly podRef: { readonly name: string };
        readonly cpu?: { readonly usageCoreNanoSeconds?: number };
        readonly network?: { readonly rxBytes?: number };
        readonly containers?: readonly { readonly memory?: { readonly workingSetBytes?: number } }[];
      }[];
    }
    const summary = JSON.parse(await ask("/stats/summary")) as Summary;
    const found = summary.pods.find(({ podRef }) => podRef.name === "web-node-a");
    assert.ok((found?.cpu?.usageCoreNanoSeconds ?? 0) > 0, JSON.stringify(summary.pods));
    assert.ok((found?.network?.rxBytes ?? 0) > 0, JSON.stringify(found));
    assert.ok((found?.containers?.[0]?.memory?.workingSetBytes ?? 0) > 0, JSON.stringify(found));
    assert.match(await ask("/metrics/cadvisor"), /container_memory_working_set_bytes\{[^}]*pod="web-node-a"/);
  });

  test("a container whose liveness probe fails is started again; its log of before is kept", async () => {
    const before = mainOf(await podNow("web"));
    const words = "command=touch&command=/tmp/ill";
    const url = `${api}/exec/default/web-node-a/main?${words}&output=1`;
    await execOverWebSocket({ url, tls: tls(), stdout: new PassThrough().resume() });
    await until("the container is started again", async () => {
      const pod = await podNow("web");
      return mainOf(pod)?.restartCount === 1 && isReady(pod);
    });
    const pod = await podNow("web");
    assert.notEqual(mainOf(pod)?.containerID, before?.containerID);
    assert.equal(mainOf(pod)?.lastState?.terminated?.exitCode, 0);
    assert.equal(
      await ask("/containerLogs/default/web-node-a/main?previous=true"),
      `serving on ${pod?.status?.podIP}\n`,
    );
  });

  test("kill -9 of our daemon, and then of the kubelet, disturbs no container", async () => {
    const before = mainOf(await podNow("web"));
    process.kill(cri.pid, "SIGKILL");
    cri = await startCri();
    await until("the kubelet has found the runtime again", async () => {
      const said = await ask("/run/default/web-node-a/main?cmd=hostname", "POST").catch(messageOf);
      return said === "web-node-a\n";
    });
    await node.kill();
    node.start();
    await until("the kubelet is back", async () => isReady(await podNow("web").catch(() => undefined)), 60_000);
    const now = mainOf(await podNow("web"));
    assert.equal(now?.containerID, before?.containerID);
    assert.equal(now?.restartCount, before?.restartCount);
    put("short", { restartPolicy: "Never", containers: [{ name: "main", image, command: ["sh", "-c", "exit 4"] }] });
    await until("the end is seen", async () => mainOf(await podNow("short"))?.state?.terminated?.exitCode === 4);
  });

  test("a Pod whose file goes is stopped in its grace period, and nothing of it is left", async () => {
    const uids = (await podsNow()).map((pod) => pod.metadata?.annotations?.["kubernetes.io/config.hash"] ?? "");
    assert.ok(uids.length >= 2);
    for (const name of readdirSync(node.podsDir)) rmSync(join(node.podsDir, name));
    await until("the Pods are gone", async () => (await podsNow()).length === 0);
    const state = { state: PodSandboxState.SANDBOX_READY };
    await until(
      "no sandbox is up",
      async () => (await runtime.listPodSandbox({ filter: { state } })).items.length === 0,
    );
    const dirs = join(layout.root ?? "", "k/root/pods");
    await until("volumes are unmounted and folders gone", () => readdirSync(dirs).length === 0);
    for (const uid of uids) {
      for (const kind of ["burstable", "besteffort"])
        await until("cgroups are gone", () => !cgroupExists(`${cgroupRoot}/kubepods/${kind}/pod${uid}`));
    }
    assert.deepEqual(
      mountInfo().filter(({ mountPoint }) => mountPoint.startsWith(`${layout.root}/k/`)),
      [],
    );
  });
});
