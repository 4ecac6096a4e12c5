import assert from "node:assert/strict";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ContainerState, NamespaceMode } from "@tripod/api/cri";
import { isTripodError } from "@tripod/base";
import { crunProgram, interop, peer } from "@tripod/testing";
import { startTestNode, type TestNode } from "../testing/test-node.ts";

const crun = crunProgram();
let node: TestNode;
before(async () => {
  node = await startTestNode({
    config: {
      handlers: {
        crun: { program: crun.path },
        runsc: { podAnnotations: ["pod.example/*"], containerAnnotations: ["own.example/?"] },
        absent: { program: "no-such-runtime" },
      },
    },
  });
});
after(async () => {
  await node[Symbol.asyncDispose]();
  crun[Symbol.dispose]();
});

test("Status lists the handlers that run here with what they can do, and the rest does not make the node unready", async () => {
  const reply = await node.runtime.status({ verbose: true });
  assert.equal(reply.status?.conditions.find(({ type }) => type === "RuntimeReady")?.status, true);
  assert.deepEqual(
    reply.runtimeHandlers.map(({ name }) => name),
    ["", "crun", "runc", "runsc"],
  );
  assert.equal(reply.runtimeHandlers.find(({ name }) => name === "runc")?.features?.recursiveReadOnlyMounts, true);
  assert.equal(reply.runtimeHandlers.find(({ name }) => name === "runsc")?.features?.recursiveReadOnlyMounts, false);
  const told = JSON.parse(reply.info.handlers ?? "") as Record<
    string,
    { abilities?: { version: string }; problem?: string }
  >; // ours
  assert.match(told.runc?.abilities?.version ?? "", /^runc version \d/);
  assert.match(told.crun?.abilities?.version ?? "", /^crun version \d/);
  assert.match(told.absent?.problem ?? "", /no-such-runtime.*install it/);
});

test("a handler that is not configured, or not installed, is refused by RunPodSandbox with the reason", async () => {
  const run = (runtimeHandler: string) => node.runtime.runPodSandbox({ config: node.sandboxConfig(), runtimeHandler });
  await assert.rejects(
    run("kata"),
    (error) => isTripodError(error, "invalid") && /runc, crun, runsc/.test(error.message),
  );
  await assert.rejects(
    run("absent"),
    (error) => isTripodError(error, "failed-precondition") && /absent.*no-such-runtime/.test(error.message),
  );
  assert.deepEqual(node.leaks(), []);
});

test("a name that is taken by a sandbox of another handler is refused, also while that one is being made", async () => {
  const { runtime } = node;
  const config = node.sandboxConfig();
  const run = (runtimeHandler: string) => runtime.runPodSandbox({ config, runtimeHandler });
  const isRefusal = (error: unknown): boolean =>
    isTripodError(error, "already-exists") && /runtime handler "crun", not "runc"/.test(error.message);
  const [made] = await Promise.all([run("crun"), assert.rejects(run("runc"), isRefusal)]);
  await assert.rejects(run("runc"), isRefusal);
  assert.deepEqual(await run("crun"), made);
  await runtime.removePodSandbox({ podSandboxId: made.podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("crun runs a Pod in a user namespace, with a volume id-mapped for it", async () => {
  const { runtimeHandlers } = await node.runtime.status({});
  const able = runtimeHandlers.filter(({ features }) => features?.userNamespaces).map(({ name }) => name);
  assert.deepEqual(able, ["", "crun", "runc"]);
  const ids = [{ containerId: 0, hostId: 800_000, length: 65_536 }];
  const usernsOptions = { mode: NamespaceMode.POD, uids: ids, gids: ids };
  const config = node.sandboxConfig({
    linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER, usernsOptions } } },
  });
  const { podSandboxId } = await node.runtime.runPodSandbox({ config, runtimeHandler: "crun" });
  const volume = join(node.layout.root ?? "", "volume");
  mkdirSync(volume);
  const mount = { hostPath: volume, uidMappings: ids, gidMappings: ids };
  const containerId = await node.run(podSandboxId, "sleep 1000", {
    mounts: [
      { ...mount, containerPath: "/rw" },
      { ...mount, containerPath: "/ro", readonly: true, recursiveReadOnly: true },
      { containerPath: "/image", readonly: true, image: { image: node.image } },
    ],
  });
  const cmd = [
    "sh",
    "-c",
    "cat /proc/self/uid_map; touch /rw/x; stat -c %u /rw/x /image/bin /bin/busybox; touch /ro/y 2>&1",
  ];
  const reply = await node.runtime.execSync({ containerId, cmd });
  assert.match(Buffer.from(reply.stdout).toString(), /^\s+0\s+800000\s+65536\n0\n0\n0\ntouch: \/ro\/y: Read-only/);
  assert.equal(statSync(join(volume, "x")).uid, 0);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

for (const handler of ["crun", "runsc"]) {
  const callee = `Tripod's CRI server with ${peer(handler)}`;
  describe(interop({ interface: "CRI", caller: "CRI client", callee }), () => {
    test(`a Pod of handler ${handler} runs, is worked in, logs, stops and goes`, async () => {
      const { runtime } = node;
      const config = node.sandboxConfig({ annotations: { "pod.example/a": "1", "other.example/a": "2" } });
      const { podSandboxId } = await runtime.runPodSandbox({ config, runtimeHandler: handler });
      assert.equal((await runtime.podSandboxStatus({ podSandboxId })).status?.runtimeHandler, handler);
      const script = "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.1; done";
      const containerId = await node.create(podSandboxId, script, {
        annotations: { "own.example/b": "3", "own.example/bb": "4" },
      });
      await runtime.startContainer({ containerId });
      const spec = JSON.parse(readFileSync(join(node.layout.containersDir, containerId, "config.json"), "utf8")) as {
        annotations: object; // config.json as buildRuntimeSpec writes it
      };
      if (handler === "runsc") assert.deepEqual(spec.annotations, { "pod.example/a": "1", "own.example/b": "3" });
      else assert.deepEqual(spec.annotations, {});
      const fed = await runtime.execSync({
        containerId,
        cmd: ["sh", "-c", "ip -o addr show eth0; echo no >&2; exit 3"],
      });
      assert.equal(fed.exitCode, 3);
      assert.match(Buffer.from(fed.stdout).toString(), /inet 10\.77\.0\.\d+/);
      assert.equal(Buffer.from(fed.stderr).toString(), "no\n");
      await assert.rejects(runtime.execSync({ containerId, cmd: ["sleep", "1000"], timeout: 1n }), /killed after 1000/);
      await runtime.stopContainer({ containerId, timeout: 10n });
      const { status } = await runtime.containerStatus({ containerId });
      assert.equal(status?.state, ContainerState.CONTAINER_EXITED);
      assert.equal(status?.exitCode, 9);
      assert.deepEqual(await node.log(containerId), ["stdout F up", "stdout F bye"]);
      await runtime.removePodSandbox({ podSandboxId });
      assert.deepEqual(node.leaks(), []);
    });
  });
}
