import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startTestNode, type TestNode } from "./testing/test-node.ts";

let node: TestNode;
before(async () => {
  // .1 is the gateway's, .2 the only address for Pods.
  node = await startTestNode({ subnet: "10.78.0.0/30" });
});
after(async () => {
  await node[Symbol.asyncDispose]();
});

test("a full address range is an error that says so, leaks nothing, and passes when an address is free again", async () => {
  const { runtime } = node;
  const { podSandboxId } = await runtime.runPodSandbox({ config: node.sandboxConfig() });
  const before = node.leaks();
  const config = node.sandboxConfig();
  await assert.rejects(runtime.runPodSandbox({ config }), /10\.78\.0\./);
  assert.deepEqual(node.leaks(), before);
  assert.equal((await runtime.listPodSandbox({})).items.length, 1);
  await runtime.removePodSandbox({ podSandboxId });
  const second = await runtime.runPodSandbox({ config });
  await runtime.removePodSandbox({ podSandboxId: second.podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("a broken network configuration is a reason in Status, and is followed live", async () => {
  const { runtime, layout } = node;
  const { podSandboxId } = await runtime.runPodSandbox({ config: node.sandboxConfig() });
  const path = join(layout.cniConfDir, "05-broken.conflist");
  writeFileSync(path, '{"cniVersion": "1.0.0",\n "name": }');
  const networkReady = async () => {
    const { status } = await runtime.status({});
    return status?.conditions.find(({ type }) => type === "NetworkReady");
  };
  for (let condition = await networkReady(); condition?.status !== false; condition = await networkReady());
  assert.match((await networkReady())?.message ?? "", /05-broken\.conflist.*2/);
  await assert.rejects(runtime.runPodSandbox({ config: node.sandboxConfig() }), /05-broken/);
  // What runs can be taken down without a network to ask.
  await runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
  rmSync(path);
  for (let condition = await networkReady(); condition?.status !== true; condition = await networkReady());
});
