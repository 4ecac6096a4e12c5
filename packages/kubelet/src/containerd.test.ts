import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Node, Pod } from "@tripod/api/kubernetes";
import { interop, peer } from "@tripod/testing";
import { startTestCluster, type TestCluster, testNodeName } from "./testing/test-cluster.ts";

/** The same kubelet with a foreign runtime: Debian's containerd and Debian's CNI plugins. */
let cluster: TestCluster;

before(async () => {
  cluster = await startTestCluster("containerd");
});
after(() => cluster[Symbol.asyncDispose]());

const isReady = (pod: Pod): boolean => pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
const wait = "trap 'exit 0' TERM; while true; do sleep 0.1; done";

describe(interop({ interface: "CRI", caller: "Tripod's kubelet", callee: peer("containerd") }), () => {
  test("the node is Ready on containerd", async () => {
    const node = await cluster.api.until<Node>(
      "nodes",
      testNodeName,
      (found) => found?.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True",
    );
    assert.match(node.status?.nodeInfo?.containerRuntimeVersion ?? "", /^containerd:\/\/1\./);
  });

  test("a Pod of two containers with an init container runs on containerd and goes again", async () => {
    const mount = { volumeMounts: [{ name: "v", mountPath: "/v" }] };
    cluster.createPod("two", {
      initContainers: [{ name: "init", image: cluster.image, command: ["sh", "-c", "echo made > /v/file"], ...mount }],
      containers: [
        { name: "a", image: cluster.image, command: ["sh", "-c", `cat /v/file; ${wait}`], ...mount },
        { name: "b", image: cluster.image, command: ["sh", "-c", wait], ...mount },
      ],
      volumes: [{ name: "v", emptyDir: {} }],
    });
    const pod = await cluster.pod("two", isReady);
    const { uid = "" } = pod.metadata;
    const log = readFileSync(join(cluster.layout.podLogsDir, `default_two_${uid}/a/0.log`), "utf8");
    assert.match(log, / stdout F made\n$/);
    assert.match(pod.status?.podIP ?? "", /^10\.78\.0\./);
    cluster.api.delete("pods", "default/two");
    await cluster.gone("two");
  });

  test("a crash is seen on containerd, which has no event stream", async () => {
    cluster.createPod("crash", {
      containers: [{ name: "c", image: cluster.image, command: ["sh", "-c", "exit 9"] }],
    });
    const pod = await cluster.pod(
      "crash",
      ({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason === "CrashLoopBackOff",
    );
    assert.equal(pod.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 9);
    cluster.api.delete("pods", "default/crash");
    await cluster.gone("crash");
  });
});
