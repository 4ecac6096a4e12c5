import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { isTripodError } from "@tripod/base";
import { type ContainerInit, startTestNode, type TestNode } from "./testing/test-node.ts";

let node: TestNode;
let folder: string;
let podSandboxId: string;
before(async () => {
  node = await startTestNode({
    subnet: "10.79.0.0/24",
    config: {
      handlers: {
        runc: { program: "runc" },
        strict: { program: "runc", privilegedHostDevices: "none", defaultRlimits: { nofile: { soft: 64, hard: 128 } } },
        nodes: { program: "runc", privilegedHostDevices: "allowed" },
      },
      defaultRlimits: { core: { soft: 0, hard: 0 }, RLIMIT_NOFILE: { soft: 512, hard: 1024 } },
      allowRlimitsAnnotation: true,
    },
  });
  folder = join(node.layout.root ?? "", "host");
  mkdirSync(folder);
  ({ podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() }));
});
after(async () => {
  await node[Symbol.asyncDispose]();
});

const run = async (containerId: string, script: string): Promise<string> => {
  const reply = await node.runtime.execSync({ containerId, cmd: ["sh", "-c", script] });
  return Buffer.concat([reply.stdout, reply.stderr]).toString().trim();
};
const refused = (config: ContainerInit, why: RegExp): Promise<void> =>
  assert.rejects(node.create(podSandboxId, "true", config), (error) => {
    assert.ok(isTripodError(error), String(error));
    assert.match(error.message, why);
    return true;
  });
const writeSpec = (edits: object): void => {
  const dir = join(node.layout.etcDir, "cdi");
  mkdirSync(dir, { recursive: true });
  const spec = { cdiVersion: "1.0.0", kind: "tripod.dev/test", devices: [{ name: "one", containerEdits: edits }] };
  writeFileSync(join(dir, "test.json"), JSON.stringify({ ...spec, containerEdits: { env: ["SHARED=1"] } }));
};
const one = { CDIDevices: [{ name: "tripod.dev/test=one" }] };

test("CDI: environment, nodes, mounts, hooks and groups reach the container, from field and annotation alike", async () => {
  mkdirSync(join(folder, "lib"));
  writeFileSync(join(folder, "lib/driver"), "driver\n");
  const hook = (hookName: string) => ({
    hookName,
    path: "/bin/sh",
    args: ["sh", "-c", `cat > /dev/null; echo ${hookName} $WHO >> ${folder}/hooks`],
    env: ["WHO=vendor"],
    timeout: 10,
  });
  writeSpec({
    env: ["FOO=device", "NEW=x=y"],
    deviceNodes: [
      { path: "/dev/vendor/tun", hostPath: "/dev/net/tun", permissions: "rw", fileMode: 0o640, gid: 44 },
      { path: "/dev/told", type: "c", major: 1, minor: 3 },
    ],
    mounts: [
      { hostPath: join(folder, "lib"), containerPath: "/usr/lib/vendor", options: ["ro", "nosuid", "nodev", "bind"] },
      { hostPath: "tmpfs", containerPath: "/scratch", type: "tmpfs", options: ["size=1m"] },
    ],
    hooks: ["createRuntime", "poststart", "poststop"].map(hook),
    additionalGIDs: [0, 4242],
  });
  for (const config of [one, { annotations: { "cdi.k8s.io/vendor": "tripod.dev/test=one" } }]) {
    const id = await node.run(podSandboxId, "sleep 1000", config);
    assert.equal(await run(id, "echo $FOO $NEW $SHARED; id -G"), "device x=y 1\n0 4242");
    assert.match(await run(id, "ls -l /dev/vendor/tun"), /^crw-r----- +1 \S+ +44 +10, 200 /);
    assert.match(await run(id, "(: <> /dev/vendor/tun) && echo opened; ls -l /dev/told"), /^opened\n.* 1, +3 /);
    assert.match(await run(id, "cat /usr/lib/vendor/driver; touch /usr/lib/vendor/x"), /^driver\n.*Read-only/);
    assert.match(await run(id, "mount"), /tmpfs on \/scratch type tmpfs \(.*size=1024k/);
    const { status } = await node.runtime.containerStatus({ containerId: id });
    assert.deepEqual(status?.user?.linux?.supplementalGroups, [0n, 4242n]);
    await node.runtime.removeContainer({ containerId: id });
  }
  const ran = readFileSync(join(folder, "hooks"), "utf8");
  for (const name of ["createRuntime", "poststart"]) assert.match(ran, new RegExp(`^${name} vendor$`, "m"));
});

test("CDI: specs are read anew; what cannot be resolved or is missing on the host is an error that names it", async () => {
  writeSpec({ env: ["FOO=changed"] });
  const id = await node.run(podSandboxId, "sleep 1000", one);
  assert.equal(await run(id, "echo $FOO"), "changed");
  await refused({ CDIDevices: [{ name: "tripod.dev/test=two" }] }, /CDI device tripod\.dev\/test=two: no usable/);
  await refused({ CDIDevices: [{ name: "two" }] }, /CDI device "two": it is not of the form/);
  await refused({ annotations: { "cdi.k8s.io/x": "none.com/x=y" } }, /none\.com\/x=y/);
  for (const [edits, why] of [
    [{ deviceNodes: [{ path: "/dev/not-there" }] }, /CDI: device node \/dev\/not-there: .*ENOENT/],
    [{ deviceNodes: [{ path: "/dev/null", type: "b" }] }, /not of the type/],
    [{ mounts: [{ hostPath: "/not-there", containerPath: "/x" }] }, /CDI: mount \/not-there/],
    [{ hooks: [{ hookName: "createRuntime", path: "/bin/false" }] }, /hook/],
    [{ netDevices: [{ hostInterfaceName: "eth9", name: "x" }] }, /network device eth9/],
  ] as const) {
    writeSpec(edits);
    await refused(one, why);
  }
  writeFileSync(join(node.layout.etcDir, "cdi/broken.yaml"), "kind: [");
  const { info } = await node.runtime.status({ verbose: true });
  const cdi = JSON.parse(info.cdi ?? "");
  assert.deepEqual(cdi.devices, ["tripod.dev/test=one"]);
  assert.match(cdi.problems.join(), /broken\.yaml: /);
  assert.deepEqual(cdi.specDirs, [join(node.layout.etcDir, "cdi"), join(node.layout.runDir, "cdi")]);
});

test("resource limits: the node's, over them the handler's, over them the Pod's", async () => {
  const limits = async (runtimeHandler: string, annotations = {}): Promise<string> => {
    const config = node.sandboxConfig({ annotations });
    const pod = await node.runtime.runPodSandbox({ config, runtimeHandler });
    try {
      const id = await node.run(pod.podSandboxId, "sleep 1000", { metadata: { name: "app" } });
      // Of the container's own process: in one that runc 1.1 execs, Go may raise the soft limit of open files again.
      const table = await run(id, "cat /proc/1/limits");
      const [, ...files] = /^Max open files +(\d+) +(\d+)/m.exec(table) ?? [];
      const [, core = ""] = /^Max core file size +\d+ +(\d+)/m.exec(table) ?? [];
      return [...files, core].join(" ");
    } finally {
      await node.runtime.removePodSandbox({ podSandboxId: pod.podSandboxId });
    }
  };
  assert.equal(await limits("runc"), "512 1024 0");
  assert.equal(await limits("strict"), "64 128 0");
  const annotations = { "rlimits.tripod.dev": "nofile=77:88", "rlimits.tripod.dev/other": "nofile=1" };
  assert.equal(await limits("strict", annotations), "77 88 0");
  assert.equal(await limits("strict", { ...annotations, "rlimits.tripod.dev/app": "nofile=99" }), "99 99 0");
  await assert.rejects(limits("runc", { "rlimits.tripod.dev": "files=1" }), /no limit of Linux/);
});

test("a privileged container sees as much of the host's devices as its handler says", async () => {
  const privileged = { linux: { securityContext: { privileged: true } } };
  const seen = async (runtimeHandler: string): Promise<string> => {
    const pod = await node.runtime.runPodSandbox({ config: node.sandboxConfig(privileged), runtimeHandler });
    const id = await node.run(pod.podSandboxId, "sleep 1000", privileged);
    const shown = await run(id, "test -c /dev/kmsg && echo node; mknod /m c 1 11 && (: < /m) && echo opened");
    await node.runtime.removePodSandbox({ podSandboxId: pod.podSandboxId });
    return shown;
  };
  assert.equal(await seen("runc"), "node\nopened");
  assert.equal(await seen("nodes"), "opened");
  assert.match(await seen("strict"), /^sh: .*not permitted$/);
});

test("nothing of all that is left", async () => {
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
  assert.match(readFileSync(join(folder, "hooks"), "utf8"), /^poststop vendor$/m);
});
