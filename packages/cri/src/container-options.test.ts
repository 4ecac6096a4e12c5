import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ContainerState, MountPropagation, NamespaceMode } from "@tripod/api/cri";
import { isTripodError } from "@tripod/base";
import { bindMount, makePrivate, makeShared, mountTmpfs, unmount } from "@tripod/linux";
import { startTestNode, type TestNode } from "./testing/test-node.ts";

let node: TestNode;
let folder: string;
before(async () => {
  node = await startTestNode();
  folder = join(node.layout.root ?? "", "host");
  mkdirSync(folder);
});
after(async () => {
  await node[Symbol.asyncDispose]();
});

const run = async (containerId: string, script: string): Promise<string> => {
  const reply = await node.runtime.execSync({ containerId, cmd: ["sh", "-c", script] });
  return Buffer.concat([reply.stdout, reply.stderr]).toString();
};

test("mounts: writable, read-only, a file, through a link, missing on the host, over a default", async () => {
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
  mkdirSync(join(folder, "data"));
  writeFileSync(join(folder, "file"), "content\n");
  symlinkSync("data", join(folder, "link"));
  writeFileSync(join(folder, "hosts"), "127.0.0.1 mine\n");
  const containerId = await node.run(podSandboxId, "sleep 1000", {
    mounts: [
      { containerPath: "/rw", hostPath: join(folder, "data") },
      { containerPath: "/ro", hostPath: join(folder, "data"), readonly: true },
      { containerPath: "/deep/er/file", hostPath: join(folder, "file"), readonly: true },
      { containerPath: "/linked/", hostPath: join(folder, "link") },
      { containerPath: "/new", hostPath: join(folder, "made/for/you") },
      { containerPath: "/etc/hosts", hostPath: join(folder, "hosts") },
    ],
  });
  assert.match(await run(containerId, "echo hi > /rw/x; cat /ro/x /linked/x; echo no > /ro/y"), /hi\nhi\n.*Read-only/s);
  assert.equal(readFileSync(join(folder, "data/x"), "utf8"), "hi\n");
  assert.equal(await run(containerId, "cat /deep/er/file; ls /new; cat /etc/hosts"), "content\n127.0.0.1 mine\n");
  const { status } = await node.runtime.containerStatus({ containerId });
  assert.equal(status?.mounts.length, 6);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("mounts: those made later on the host appear with HostToContainer, and need a shared mount", async () => {
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
  const shared = join(folder, "shared");
  mkdirSync(shared);
  bindMount(shared, shared);
  try {
    const mounts = [
      { containerPath: "/s", hostPath: shared, propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER },
    ];
    makePrivate(shared);
    await assert.rejects(node.create(podSandboxId, "true", { mounts }), /not a shared or slave mount/);
    makeShared(shared);
    mkdirSync(join(shared, "sub"));
    const containerId = await node.run(podSandboxId, "sleep 1000", { mounts });
    mountTmpfs(join(shared, "sub"));
    writeFileSync(join(shared, "sub/late"), "");
    assert.equal(await run(containerId, "ls /s/sub"), "late\n");
    await node.runtime.removePodSandbox({ podSandboxId });
  } finally {
    unmount(join(shared, "sub"), { detach: true });
    unmount(shared, { detach: true });
    rmSync(shared, { recursive: true });
  }
});

test("a privileged container sees the host's devices and holds all that the daemon may give", async () => {
  const { runtime } = node;
  const config = node.sandboxConfig({ linux: { securityContext: { privileged: true } } });
  const { podSandboxId } = await runtime.runPodSandbox({ config });
  const privileged = { linux: { securityContext: { privileged: true } } };
  const containerId = await node.run(podSandboxId, "sleep 1000", privileged);
  assert.match(await run(containerId, "ls /dev"), /^kmsg$/m);
  const own = /^CapBnd:\s+([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  assert.match(await run(containerId, "grep CapEff /proc/self/status"), new RegExp(`${own}`));
  assert.equal(await run(containerId, "mount -t tmpfs x /tmp && echo mounted"), "mounted\n");
  const plain = await runtime.runPodSandbox({ config: node.sandboxConfig() });
  await assert.rejects(node.create(plain.podSandboxId, "true", privileged), /privileged sandbox/);
  for (const { id } of (await runtime.listPodSandbox({})).items) await runtime.removePodSandbox({ podSandboxId: id });
});

test("a device that is asked for is there, others are refused by the cgroup", async () => {
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
  const containerId = await node.run(podSandboxId, "sleep 1000", {
    devices: [{ hostPath: "/dev/kmsg", containerPath: "/dev/log-of-kernel", permissions: "r" }],
  });
  assert.match(await run(containerId, "ls -l /dev/log-of-kernel"), /1, +11 .*log-of-kernel/);
  assert.match(await run(containerId, "mknod /tmp/mem c 1 1; cat /tmp/mem"), /not permitted/);
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("in a container with a terminal output is one stream, and ExecSync still tells two apart", async () => {
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
  const containerId = await node.run(podSandboxId, "tty; echo err >&2; sleep 1000", { tty: true });
  while ((await node.log(containerId)).length < 2) await node.runtime.version({});
  assert.deepEqual(
    (await node.log(containerId)).map((line) => line.trimEnd()),
    ["stdout F /dev/pts/0", "stdout F err"],
  );
  const reply = await node.runtime.execSync({ containerId, cmd: ["sh", "-c", "echo a; echo b >&2"] });
  assert.deepEqual([Buffer.from(reply.stdout).toString(), Buffer.from(reply.stderr).toString()], ["a\n", "b\n"]);
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("with the host's PID namespace, what a container leaves running ends with it", async () => {
  const namespaceOptions = { pid: NamespaceMode.NODE };
  const { podSandboxId } = await node.runtime.runPodSandbox({
    config: node.sandboxConfig({ linux: { securityContext: { namespaceOptions } } }),
  });
  const containerId = await node.run(podSandboxId, "sleep 4242.4242 & exit 0", {
    linux: { securityContext: { namespaceOptions } },
  });
  await node.reached(containerId, ContainerState.CONTAINER_EXITED);
  await node.runtime.removeContainer({ containerId });
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("TARGET joins the processes of another container", async () => {
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
  const targetId = await node.run(podSandboxId, "sleep 5151");
  const debug = await node.run(podSandboxId, "sleep 1000", {
    linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.TARGET, targetId } } },
  });
  assert.match(await run(debug, "ps"), /1 root +sleep 5151/);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("requests that are wrong or not supported are refused by name", async () => {
  const { runtime } = node;
  const refused = async (work: Promise<unknown>, code: "invalid" | "unimplemented", why: RegExp): Promise<void> => {
    await assert.rejects(work, (error) => {
      assert.ok(isTripodError(error, code), String(error));
      assert.match(error.message, why);
      return true;
    });
  };
  await refused(runtime.runPodSandbox({}), "invalid", /config is missing/);
  await refused(runtime.runPodSandbox({ config: {} }), "invalid", /metadata/);
  await refused(
    runtime.runPodSandbox({ config: node.sandboxConfig(), runtimeHandler: "kata" }),
    "invalid",
    /"kata".*runc/,
  );
  await refused(
    runtime.runPodSandbox({ config: node.sandboxConfig({ linux: { cgroupParent: "a.slice" } }) }),
    "invalid",
    /cgroupfs/,
  );
  await assert.rejects(runtime.checkpointContainer({ containerId: "absent" }), { code: "not-found" });
  const { podSandboxId } = await runtime.runPodSandbox({ config: node.sandboxConfig() });
  await refused(
    node.create(podSandboxId, "true", { mounts: [{ containerPath: "/x", hostPath: "rel" }] }),
    "invalid",
    /rel/,
  );
  await runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});
