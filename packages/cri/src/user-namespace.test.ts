import assert from "node:assert/strict";
import { chmodSync, chownSync, lstatSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ContainerState, MountPropagation, NamespaceMode } from "@tripod/api/cri";
import { Event } from "@tripod/api/nri";
import { isTripodError, runCommand, silentLogger } from "@tripod/base";
import { mount, mountInfo, mountTmpfs, MS, unmount } from "@tripod/linux";
import { Images } from "@tripod/oci";
import { startTestPlugin } from "./nri/testing/test-plugin.ts";
import { userNamespaceProblem } from "./runtime/user-namespace-support.ts";
import { type SandboxInit, startTestNode, type TestNode } from "./testing/test-node.ts";

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

const hostId = 500_000;
const mapping = [{ containerId: 0, hostId, length: 65_536 }];
const usernsOptions = { mode: NamespaceMode.POD, uids: mapping, gids: mapping };
const mapped = { uidMappings: mapping, gidMappings: mapping };

const podWith = (namespaceOptions: object, more: object = {}): SandboxInit =>
  node.sandboxConfig({
    linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER, ...namespaceOptions } }, ...more },
  });

const run = async (containerId: string, script: string): Promise<string> => {
  const reply = await node.runtime.execSync({ containerId, cmd: ["sh", "-c", script] });
  return Buffer.concat([reply.stdout, reply.stderr]).toString();
};

/** The process ids of a container, as the host numbers them. */
async function initOf(containerId: string): Promise<number> {
  const { info } = await node.runtime.containerStatus({ containerId, verbose: true });
  return Number(/"pid":(\d+)/.exec(info.info ?? "")?.[1]);
}

test("Status says which handler has user namespaces", async () => {
  const { runtimeHandlers, features } = await node.runtime.status({});
  assert.deepEqual(
    runtimeHandlers
      .filter(({ name }) => name === "" || name === "runc")
      .map(({ name, features: own }) => [name, own?.userNamespaces, own?.recursiveReadOnlyMounts]),
    [
      ["", true, true],
      ["runc", true, true],
    ],
  );
  assert.equal(features?.userNamespacesHostNetwork, false);
});

test("where it cannot work, the reason says what to do", async () => {
  const root = node.layout.root ?? "";
  chmodSync(root, 0o700);
  await using images = await Images.open({ layout: node.layout, log: silentLogger });
  const problem = await userNamespaceProblem({ layout: node.layout, images });
  chmodSync(root, 0o711);
  assert.equal(problem, `folder ${root} is closed to other users, of which a Pod's root is one; chmod o+x it`);
});

test("in a Pod with a user namespace, root is root inside and nobody outside, with network, sysctls, /sys and exec", async () => {
  const { runtime } = node;
  const config = podWith(
    { usernsOptions },
    { sysctls: { "net.ipv4.ip_unprivileged_port_start": "80", "kernel.shm_rmid_forced": "1" } },
  );
  const { podSandboxId } = await runtime.runPodSandbox({ config });
  const containerId = await node.run(podSandboxId, "id -u > /made; sleep 1000", {
    linux: { securityContext: { capabilities: { addCapabilities: ["NET_ADMIN"] } } },
  });
  assert.match(await run(containerId, "cat /proc/self/uid_map /proc/self/gid_map"), /^(\s+0\s+500000\s+65536\n){2}$/);
  assert.equal(statSync(`/proc/${await initOf(containerId)}`).uid, hostId);
  // Files of the image are root's, new ones too; on the disk of the host both are as they should be.
  assert.equal(
    await run(containerId, "stat -c '%u %g' /bin/busybox /made /etc/hosts /etc/resolv.conf /dev/shm"),
    "0 0\n".repeat(5),
  );
  assert.equal(lstatSync(join(node.layout.snapshotsDir, "containers", containerId, "upper", "made")).uid, hostId);
  const files =
    "echo x > /dev/shm/x; echo '# mine' >> /etc/hosts; tail -n 1 /etc/hosts; touch /bin/new && chown 7:8 /bin/busybox && echo ok";
  assert.equal(await run(containerId, files), "# mine\nok\n");
  // The network namespace belongs to the user namespace, so its root may change it.
  assert.equal(
    await run(containerId, "ip link set lo down && ip link set lo up && ip -4 addr show eth0 | grep -c inet"),
    "1\n",
  );
  assert.equal(
    await run(containerId, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced"),
    "80\n1\n",
  );
  assert.match(
    await run(
      containerId,
      "ls /sys/class/net; ls -d /dev/mqueue; hostname; echo x > /dev/null; ls /sys/fs/cgroup | head -n 1",
    ),
    /eth0\nlo\n\/dev\/mqueue\npod\d+\n\w+/,
  );
  assert.match(
    await run(containerId, "mount -t tmpfs x /tmp; echo 1 > /proc/sys/kernel/panic"),
    /permission denied.*Permission denied/s,
  );
  const { stats } = await runtime.containerStats({ containerId });
  assert.ok((stats?.memory?.workingSetBytes?.value ?? 0n) > 0n);
  assert.ok((stats?.writableLayer?.inodesUsed?.value ?? 0n) > 0n);
  const { status } = await runtime.podSandboxStatus({ podSandboxId });
  assert.equal(status?.linux?.namespaces?.options?.usernsOptions?.uids[0]?.hostId, hostId);
  await runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("a Pod's user is one of its namespace; one that the namespace lacks is refused", async () => {
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: podWith({ usernsOptions }) });
  const asUser = (value: bigint, group = value) => ({
    linux: {
      securityContext: {
        runAsUser: { value },
        runAsGroup: { value: group },
        supplementalGroups: [4321n],
        readonlyRootfs: true,
      },
    },
  });
  const containerId = await node.run(podSandboxId, "sleep 1000", asUser(1234n));
  assert.equal(
    await run(containerId, "id -u; id -G; touch /x 2>&1; touch /etc/hosts 2>&1"),
    "1234\n1234 4321\ntouch: /x: Read-only file system\ntouch: /etc/hosts: Read-only file system\n",
  );
  assert.equal(statSync(`/proc/${await initOf(containerId)}`).uid, hostId + 1234);
  await assert.rejects(node.create(podSandboxId, "true", asUser(65_536n)), /user 65536 is not in .* 0 to 65535/);
  await node.runtime.removePodSandbox({ podSandboxId });
});

test("a shared PID namespace belongs to the Pod's user namespace", async () => {
  const namespaceOptions = { usernsOptions, pid: NamespaceMode.POD };
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: podWith(namespaceOptions) });
  const containerId = await node.run(podSandboxId, "sleep 1000", { linux: { securityContext: { namespaceOptions } } });
  await node.run(podSandboxId, "sleep 4711", { linux: { securityContext: { namespaceOptions } } });
  assert.match(await run(containerId, "ps"), /1 nobody +\/init -P.*sleep 4711/s);
  assert.equal(
    await run(containerId, "kill $(ps | grep 'sleep 4711' | grep -v grep | awk '{print $1}') && echo killed"),
    "killed\n",
  );
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("volumes: id-mapped ones show and keep the owners of the disk, others show nobody", async () => {
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: podWith({ usernsOptions }) });
  for (const name of ["data", "plain", "ro", "tree", "tree/sub", "late"]) mkdirSync(join(folder, name));
  writeFileSync(join(folder, "data/theirs"), "");
  chownSync(join(folder, "data/theirs"), 1000, 1000);
  writeFileSync(join(folder, "file"), "content\n");
  mountTmpfs(join(folder, "tree/sub"));
  // What the kernel locks in a user namespace must stay when a bind becomes read-only.
  mountTmpfs(join(folder, "ro"), { flags: MS.NOEXEC });
  try {
    const containerId = await node.run(podSandboxId, "sleep 1000", {
      mounts: [
        { containerPath: "/data", hostPath: join(folder, "data"), ...mapped },
        { containerPath: "/data-ro", hostPath: join(folder, "data"), readonly: true, ...mapped },
        { containerPath: "/file", hostPath: join(folder, "file"), readonly: true, mountOptions: ["noexec"], ...mapped },
        { containerPath: "/plain", hostPath: join(folder, "plain") },
        { containerPath: "/ro", hostPath: join(folder, "ro"), readonly: true },
        { containerPath: "/tree", hostPath: join(folder, "tree"), readonly: true, recursiveReadOnly: true, ...mapped },
        { containerPath: "/tree-rw-below", hostPath: join(folder, "tree"), readonly: true },
      ],
    });
    assert.equal(
      await run(containerId, "stat -c %u /data /data/theirs /plain /file; cat /file"),
      "0\n1000\n65534\n0\ncontent\n",
    );
    assert.equal(
      await run(containerId, "touch /data/mine && echo ok; cd /data-ro && touch x"),
      "ok\ntouch: x: Read-only file system\n",
    );
    assert.equal(lstatSync(join(folder, "data/mine")).uid, 0);
    assert.match(
      await run(containerId, "touch /plain/x; touch /ro/x; touch /tree/x; touch /tree/sub/x"),
      /plain\/x: Permission denied\n.*ro\/x: Read-only.*tree\/x: Read-only.*tree\/sub\/x: Read-only/s,
    );
    assert.match(await run(containerId, "grep ' /file ' /proc/mounts"), / ro,[^ ]*noexec.*idmapped/);
    assert.match(await run(containerId, "touch /tree-rw-below/sub/x"), /Permission denied/);
    // They stand on the host only while a container is being created.
    assert.deepEqual(
      mountInfo().filter(({ mountPoint }) => mountPoint.includes("/run/mounts/")),
      [],
    );
    const rootfs = await node.create(podSandboxId, "true", { mounts: [] });
    await node.runtime.removeContainer({ containerId: rootfs });
    await node.runtime.removePodSandbox({ podSandboxId });
    assert.ok(mountInfo().some(({ mountPoint }) => mountPoint === join(folder, "tree/sub")));
  } finally {
    for (const name of ["tree/sub", "ro"]) unmount(join(folder, name), { detach: true });
  }
  assert.deepEqual(node.leaks(), []);
});

test("what CDI devices and NRI plugins mount is id-mapped too, with their flags, or refused", async () => {
  const vendor = join(folder, "vendor");
  const plugins = join(folder, "plugins");
  for (const path of [vendor, plugins]) {
    mkdirSync(path);
    writeFileSync(join(path, "file"), "");
  }
  mkdirSync(join(node.layout.etcDir, "cdi"), { recursive: true });
  const edits = { mounts: [{ hostPath: vendor, containerPath: "/vendor", options: ["ro", "nosuid", "rbind"] }] };
  const spec = { cdiVersion: "0.6.0", kind: "test.org/tool", devices: [{ name: "one", containerEdits: edits }] };
  writeFileSync(join(node.layout.etcDir, "cdi", "tool.json"), JSON.stringify(spec));
  let source = plugins;
  await using plugin = await startTestPlugin(join(node.layout.runDir, "nri.sock"), {
    index: "10",
    name: "mounts",
    events: [Event.CREATE_CONTAINER],
    handlers: {
      createContainer: async () => ({
        adjust: { mounts: [{ destination: "/plugin", type: "bind", source, options: ["rbind", "rw", "noexec"] }] },
      }),
    },
  });
  await plugin.synchronized;
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: podWith({ usernsOptions }) });
  const change = { CDIDevices: [{ name: "test.org/tool=one" }] };
  const containerId = await node.run(podSandboxId, "sleep 1000", change);
  assert.equal(await run(containerId, "stat -c %u:%g /vendor/file /plugin/file"), "0:0\n0:0\n");
  assert.match(await run(containerId, "touch /vendor/no"), /Read-only/);
  await run(containerId, "touch /plugin/new");
  assert.equal(statSync(join(plugins, "new")).uid, 0);
  const flags = await run(containerId, "grep -E ' /(vendor|plugin) ' /proc/mounts");
  assert.match(flags, / \/vendor \S+ ro,nosuid/);
  assert.match(flags, / \/plugin \S+ rw,(\w+,)*noexec/);
  source = "/proc/sys";
  await assert.rejects(node.create(podSandboxId, "true"), /\/plugin: \/proc\/sys cannot be shown/);
  source = "/none";
  await assert.rejects(node.create(podSandboxId, "true"), /\/plugin: .*\/none/);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("volumes: a file system that cannot be id-mapped, and propagation to the host, are refused in plain words", async () => {
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: podWith({ usernsOptions }) });
  const proc = join(folder, "proc");
  mkdirSync(proc);
  mount({ source: "proc", target: proc, type: "proc" });
  try {
    const creating = (change: object) =>
      node.create(podSandboxId, "true", { mounts: [{ containerPath: "/v", hostPath: proc, ...change }] });
    await assert.rejects(creating(mapped), (error) => {
      assert.match(String(error), /cannot be id-mapped; use a volume on ext4/);
      return isTripodError(error, "failed-precondition");
    });
    await assert.rejects(
      creating({ propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL }),
      /do not reach the host/,
    );
    const other = [{ containerId: 0, hostId: 1, length: 10 }];
    await assert.rejects(creating({ uidMappings: other, gidMappings: other }), /not the one of the Pod's/);
    await assert.rejects(creating({ mountOptions: ["suid"] }), /"suid" is not one of/);
    await assert.rejects(
      node.create(podSandboxId, "true", {
        linux: { securityContext: { namespaceOptions: { usernsOptions: { mode: NamespaceMode.NODE } } } },
      }),
      /different from its sandbox's/,
    );
  } finally {
    unmount(proc);
  }
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("mappings and companies that make no sense are refused before anything is made", async () => {
  const range = (containerId: number, from: number, length: number) => [{ containerId, hostId: from, length }];
  const userns = (uids: object[], gids = uids) => ({ usernsOptions: { mode: NamespaceMode.POD, uids, gids } });
  const refused: readonly [string, object, RegExp][] = [
    ["none", userns([]), /needs a mapping/],
    ["two", userns([...mapping, ...range(65_536, 900_000, 10)]), /2 mappings/],
    ["no root", userns(range(1, hostId, 10)), /id 0 of the container/],
    ["no length", userns(range(0, hostId, 0)), /length 0/],
    ["the host's root", userns(range(0, 0, 65_536)), /the host's; give it/],
    ["too far", userns(mapping, range(0, 2 ** 32 - 10, 10)), /gids: .*beyond 32 bits/],
    ["NODE with mappings", { usernsOptions: { ...usernsOptions, mode: NamespaceMode.NODE } }, /NODE takes no mappings/],
    ["CONTAINER", { usernsOptions: { mode: NamespaceMode.CONTAINER } }, /mode 1/],
    ["host network", { usernsOptions, network: NamespaceMode.NODE }, /the host's network/],
    ["host PID and IPC", { usernsOptions, pid: NamespaceMode.NODE, ipc: NamespaceMode.NODE }, /the host's pid and ipc/],
  ];
  for (const [name, options, why] of refused) {
    await assert.rejects(node.runtime.runPodSandbox({ config: podWith(options) }), (error) => {
      assert.match(String(error), why, name);
      return isTripodError(error, "invalid");
    });
  }
  const privileged = node.sandboxConfig({
    linux: { securityContext: { privileged: true, namespaceOptions: { usernsOptions } } },
  });
  await assert.rejects(node.runtime.runPodSandbox({ config: privileged }), /privileged Pod/);
  assert.deepEqual(node.leaks(), []);
});

test("the volumes that an image declares belong to the Pod's root, whether the image has anything there or not", async () => {
  const rootfsTar = join(folder, "volumes.tar");
  await runCommand("tar", ["-C", folder, "-cf", rootfsTar, "file"]);
  const images = await Images.open({ layout: node.layout, log: silentLogger });
  const spec = { from: node.image, volumes: ["/etc", "/nowhere"] };
  const { id } = await images.build({ rootfsTar, spec, tags: ["volumes:1"] });
  await images[Symbol.asyncDispose]();
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: podWith({ usernsOptions }) });
  const containerId = await node.run(podSandboxId, "sleep 1000", { image: { image: id } });
  const script = "stat -c %u /etc /etc/passwd /nowhere; touch /etc/mine /nowhere/mine && echo ok";
  assert.equal(await run(containerId, script), "0\n0\n0\nok\n");
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});

test("a container with a terminal, and one that ends by itself, in a user namespace", async () => {
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: podWith({ usernsOptions }) });
  const containerId = await node.run(podSandboxId, "tty; exit 3", { tty: true });
  const { exitCode } = await node.reached(containerId, ContainerState.CONTAINER_EXITED);
  assert.equal(exitCode, 3);
  const { status } = await node.runtime.containerStatus({ containerId });
  assert.match(readFileSync(status?.logPath ?? "", "utf8"), /\/dev\/pts\/0/);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});
