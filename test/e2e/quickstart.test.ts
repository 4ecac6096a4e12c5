import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { findKubectls, interop, noKubectl } from "@tripod/testing";
import { TestNode } from "./node.ts";

const quickstart = join(import.meta.dirname, "../../examples/quickstart");
const skip = noKubectl ?? false;
let node: TestNode;

before(async () => {
  if (!skip) node = await TestNode.start();
});
after(async () => {
  await node?.[Symbol.asyncDispose]();
});

test("kubectl get nodes -o wide shows the node Ready, with its runtime", { skip }, async () => {
  const text = await node.text("get", "nodes", "-o", "wide");
  assert.match(
    text,
    /^NAME +STATUS +ROLES +AGE +VERSION +INTERNAL-IP +EXTERNAL-IP +OS-IMAGE +KERNEL-VERSION +CONTAINER-RUNTIME/,
  );
  assert.match(text, /\n\S+ +Ready .*tripod:\/\//);
});

test("the quickstart runs: a Pod with an address of its own, two containers, a claim bound by the driver", {
  skip,
}, async () => {
  await node.kubectl(["apply", "-f", quickstart]);
  await node.kubectl(["wait", "--for=condition=Ready", "pod/web", "--timeout=60s"]);
  const address = await node.text("get", "pod", "web", "-o", "jsonpath={.status.podIP}");
  const page = await node.network.run("curl", ["-sS", "--max-time", "5", `http://${address}/`]);
  assert.equal(page.stdout.toString(), "<h1>Hello from web</h1>\n");
  assert.match(await node.text("get", "pvc", "site"), /site +Bound +pvc-\S+ +64Mi +RWO +quickstart/);
  assert.match(
    await node.text("get", "pod", "web", "-o", "wide"),
    new RegExp(`web +2/2 +Running +0 +\\S+ +${address.replaceAll(".", "\\.")}`),
  );
});

test("the volume's data outlives the Pod", { skip }, async () => {
  await node.kubectl(["exec", "web", "-c", "writer", "--", "sh", "-c", "echo lasting >/site/note.txt"]);
  await node.kubectl(["delete", "pod", "web", "--timeout=60s"]);
  await node.kubectl(["apply", "-f", join(quickstart, "pod.yaml")]);
  await node.kubectl(["wait", "--for=condition=Ready", "pod/web", "--timeout=60s"]);
  assert.equal(await node.text("exec", "web", "-c", "writer", "--", "cat", "/site/note.txt"), "lasting");
  assert.equal((await node.text("exec", "web", "-c", "web", "--", "cat", "/site/starts.txt")).split("\n").length, 2);
});

test("kubectl describe pod names the containers, their state, the volume and the Pod's Events", { skip }, async () => {
  const text = await node.text("describe", "pod", "web");
  for (const want of [
    /Status: +Running/,
    /ClaimName: +site/,
    /State: +Running/,
    /Scheduled/,
    /Pulled/,
    /Created/,
    /Started/,
  ])
    assert.match(text, want);
});

for (const { version, path } of findKubectls()) {
  const cell = interop({ interface: "Kubernetes API", caller: `kubectl ${version}`, callee: "tripod up" });
  test(`${cell} | logs, exec with input and exit code, apply, port-forward`, { skip }, async () => {
    const run = (...args: string[]) => node.kubectl(args, { path });
    assert.match((await run("logs", "web", "-c", "writer")).stdout.toString(), /started /);
    const input = "x".repeat(200_000);
    const echoed = await node.kubectl(["exec", "-i", "web", "-c", "writer", "--", "cat"], { path, input });
    assert.equal(echoed.stdout.length, input.length);
    const failed = await node.kubectl(["exec", "web", "-c", "writer", "--", "sh", "-c", "echo oops >&2; exit 7"], {
      path,
      okExitCodes: "any",
    });
    assert.equal(failed.exitCode, 7);
    assert.match(failed.stderr.toString(), /oops/);
    await node.kubectl(["apply", "-f", quickstart], { path });
    const forward = node.network.spawn(
      path,
      ["--kubeconfig", node.layout.kubeconfig, "port-forward", "pod/web", ":80"],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    try {
      assert.ok(forward.stdout);
      const lines = createInterface({ input: forward.stdout })[Symbol.asyncIterator]();
      const port = /127\.0\.0\.1:(\d+)/.exec((await lines.next()).value ?? "")?.[1];
      const page = await node.network.run("curl", ["-sS", "--max-time", "10", `http://127.0.0.1:${port}/`]);
      assert.match(page.stdout.toString(), /Hello from web/);
    } finally {
      const ended = once(forward, "exit");
      forward.kill();
      await ended;
    }
  });
}

test("tripod trace pod prints the Pod's start: kubelet, CRI calls, CNI plugins with their JSON, runc, CSI calls", {
  skip,
}, async () => {
  const text = (await node.tripod("trace", "pod", "web", "--full")).stdout.toString();
  for (const want of [
    "kubelet.syncPod",
    "RuntimeService/RunPodSandbox",
    "cni ADD bridge",
    "cni ADD host-local",
    "cni ADD portmap",
    "runc create",
    "runc start",
    "Node/NodePublishVolume",
    '"cniVersion"',
  ]) {
    assert.ok(text.includes(want), `${want} is not in:\n${text}`);
  }
});

test("kubectl get -w shows a deletion, and logs -f ends with the Pod", { skip }, async () => {
  const follow = node.kubectl(["logs", "-f", "web", "-c", "writer"], { timeoutMs: 60_000 });
  await node.kubectl(["delete", "-f", quickstart, "--timeout=60s"]);
  assert.match((await follow).stdout.toString(), /started /);
  assert.equal(await node.text("get", "pods,pvc,pv"), "");
});
