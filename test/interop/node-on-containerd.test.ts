import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { runCommand, TripodError } from "@tripod/base";
import { defaultConflist } from "@tripod/cni";
import { isolateNetwork } from "@tripod/linux";
import {
  findKubectls,
  interop,
  noKubectl,
  peer,
  pushBusybox,
  startContainerd,
  startRegistry,
  tempRoot,
} from "@tripod/testing";

const tripod = join(import.meta.dirname, "../../tripod");

/** Starts one of our daemons; resolves with its process when it has said that it is ready. */
async function daemon(args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(tripod, args, { stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of createInterface({ input: child.stdout })) if (line.startsWith("tripod: ")) return child;
  throw new TripodError("unavailable", `tripod ${args.join(" ")}: it ended`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
}

// Each part is a process of its own with a root of its own, as on several machines; the runtime is not ours.
describe(interop({ interface: "CRI", caller: "tripod node, apiserver, controllers", callee: peer("containerd") }), {
  skip: noKubectl ?? false,
}, () => {
  const stack = new AsyncDisposableStack();
  let kubeconfig: string;
  let manifest: string;
  const kubectl = (args: readonly string[], input?: string) =>
    runCommand(findKubectls().at(-1)?.path ?? "kubectl", ["--kubeconfig", kubeconfig, ...args], {
      timeoutMs: 60_000,
      ...(input === undefined ? {} : { input }),
    });
  const text = async (...args: string[]): Promise<string> => (await kubectl(args)).stdout.toString().trim();

  before(async () => {
    isolateNetwork();
    const root = stack.use(tempRoot());
    const at = (name: string): string => join(root.path, name);
    const registry = stack.use(await startRegistry());
    const image = await pushBusybox(registry);
    const sandboxImage = await pushBusybox(registry, "pause:1", { spec: { cmd: ["/bin/sleep", "100000"] } });
    const cniConfDir = at("net.d");
    mkdirSync(cniConfDir);
    const conflist = defaultConflist({ bridge: "peer0", subnet: "10.247.0.0/24", dataDir: at("networks") });
    writeFileSync(join(cniConfDir, "10-peer.conflist"), JSON.stringify({ ...conflist, cniVersion: "1.0.0" }));
    const containerd = stack.use(await startContainerd({ dir: at("containerd"), sandboxImage, cniConfDir }));

    const apiserver = await daemon(["apiserver", "--root", at("a")]);
    stack.defer(() => stop(apiserver));
    kubeconfig = at("a/kubeconfig");
    const credentials = (name: string): string => at(`a/lib/pki/${name}.kubeconfig`);
    const controllers = await daemon(["controllers", "--root", at("c"), "--kubeconfig", credentials("controllers")]);
    stack.defer(() => stop(controllers));
    const cri = `unix://${containerd.socket}`;
    const node = await daemon(["node", "--root", at("n"), "--kubeconfig", credentials("kubelet"), "--cri", cri]);
    stack.defer(async () => {
      await stop(node);
      await runCommand(tripod, ["down", "--root", at("n")]);
    });
    manifest = `
apiVersion: v1
kind: Pod
metadata: { name: web }
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
    - { name: page, image: ${image}, command: [sh, -c, "echo a page >/www/index.html"], volumeMounts: [{ name: www, mountPath: /www }] }
  containers:
    - { name: httpd, image: ${image}, command: [sh, -c, "echo serving; exec httpd -f -p 80 -h /www"], volumeMounts: [{ name: www, mountPath: /www }] }
  volumes: [{ name: www, emptyDir: {} }]
`;
  });
  after(() => stack.disposeAsync());

  test("the node joins with containerd as its runtime", async () => {
    await kubectl(["wait", "--for=condition=Ready", "node", "--all", "--timeout=30s"]);
    const path = "jsonpath={.items[0].status.nodeInfo.containerRuntimeVersion}";
    assert.match(await text("get", "nodes", "-o", path), /^containerd:\/\/\d/);
  });

  test("a Pod runs; its page, log and a command in it are reached through API server and kubelet", async () => {
    await kubectl(["apply", "-f", "-"], manifest);
    await kubectl(["wait", "--for=condition=Ready", "pod/web", "--timeout=60s"]);
    const address = await text("get", "pod", "web", "-o", "jsonpath={.status.podIP}");
    assert.match(address, /^10\.247\.0\./);
    const page = await runCommand("curl", ["-sS", "--max-time", "5", `http://${address}/`]);
    assert.equal(page.stdout.toString(), "a page\n");
    assert.equal(await text("logs", "web"), "serving");
    assert.equal(await text("exec", "web", "--", "cat", "/www/index.html"), "a page");
  });

  test("the Pod is deleted", async () => {
    await kubectl(["delete", "pod", "web", "--timeout=60s"]);
    assert.equal(await text("get", "pods", "-o", "name"), "");
  });
});
