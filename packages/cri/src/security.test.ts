import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  ContainerState,
  NamespaceMode,
  SecurityProfile_ProfileType as ProfileType,
  Signal,
  SupplementalGroupsPolicy,
} from "@tripod/api/cri";
import { type ErrorCode, isTripodError } from "@tripod/base";
import { cgroupHierarchies, cgroupVersion } from "@tripod/linux";
import { handlerSettings } from "./runtime/handler-config.ts";
import { pushBusyboxImage } from "./testing/busybox-image.ts";
import { systemCallProgram } from "./testing/system-call-program.ts";
import { type ContainerInit, type SandboxInit, startTestNode, type TestNode } from "./testing/test-node.ts";

type Linux = NonNullable<ContainerInit["linux"]>;
type Security = NonNullable<Linux["securityContext"]>;

let node: TestNode;
let folder: string;
before(async () => {
  node = await startTestNode({ subnet: "10.78.0.0/24" });
  folder = join(node.layout.root ?? "", "host");
  mkdirSync(folder);
});
after(async () => {
  await node[Symbol.asyncDispose]();
});

const run = async (containerId: string, script: string): Promise<string> => {
  const reply = await node.runtime.execSync({ containerId, cmd: ["sh", "-c", script] });
  return Buffer.concat([reply.stdout, reply.stderr]).toString().trim();
};
const secured = (securityContext: Security): ContainerInit => ({ linux: { securityContext } });
const sandbox = async (change?: SandboxInit): Promise<string> =>
  (await node.runtime.runPodSandbox({ config: node.sandboxConfig(change) })).podSandboxId;
const remove = async (podSandboxId: string): Promise<void> => {
  await node.runtime.removePodSandbox({ podSandboxId });
};
const refused = async (work: Promise<unknown>, code: ErrorCode, why: RegExp): Promise<void> => {
  await assert.rejects(work, (error) => {
    assert.ok(isTripodError(error, code), String(error));
    assert.match(error.message, why);
    return true;
  });
};
const namespaceOf = (kind: string): string => readlinkSync(`/proc/self/ns/${kind}`);
/** The namespaces that a container is in. */
const namespacesIn = async (id: string): Promise<Record<string, string>> => {
  const kinds = ["net", "ipc", "pid", "uts"];
  const links = await run(id, kinds.map((kind) => `readlink /proc/self/ns/${kind}`).join("; "));
  return Object.fromEntries(links.split("\n").map((link) => [link.split(":")[0] ?? "", link]));
};

test("namespaces: each container has its own processes, and shares network, IPC and host name with its Pod", async () => {
  const pod = await sandbox();
  const [one, two] = [await node.run(pod, "exec sleep 1000"), await node.run(pod, "exec sleep 1000")];
  const [a, b] = [await namespacesIn(one), await namespacesIn(two)];
  assert.notEqual(a.pid, b.pid);
  for (const kind of ["net", "ipc", "uts"]) {
    assert.equal(a[kind], b[kind]);
    assert.notEqual(a[kind], namespaceOf(kind));
  }
  assert.equal(await run(one, "cat /proc/1/cmdline | tr '\\0' ' '"), "sleep 1000");
  await remove(pod);
});

test("namespaces: NODE is the host's, for network (and the host's name), IPC and processes", async () => {
  const namespaceOptions = { network: NamespaceMode.NODE, ipc: NamespaceMode.NODE, pid: NamespaceMode.NODE };
  const pod = await sandbox({ hostname: "", linux: { securityContext: { namespaceOptions } } });
  const id = await node.run(pod, "sleep 1000", secured({ namespaceOptions }));
  const inside = await namespacesIn(id);
  for (const kind of ["net", "ipc", "uts", "pid"]) assert.equal(inside[kind], namespaceOf(kind));
  assert.equal(await run(id, "hostname; echo $HOSTNAME"), `${hostname()}\n${hostname()}`);
  await remove(pod);
});

test("namespaces: a container cannot have the host's where its Pod has its own, nor a mode that there is none of", async () => {
  const pod = await sandbox();
  const asks = (namespaceOptions: NonNullable<Security["namespaceOptions"]>) =>
    node.create(pod, "true", secured({ namespaceOptions }));
  await refused(asks({ network: NamespaceMode.NODE, pid: 1 }), "invalid", /host's network namespace/);
  await refused(asks({ ipc: NamespaceMode.NODE, pid: 1 }), "invalid", /host's ipc namespace/);
  await refused(asks({ pid: 77 as NamespaceMode }), "invalid", /pid namespace cannot be of mode 77/);
  await refused(asks({ ipc: NamespaceMode.TARGET, pid: 1 }), "invalid", /ipc namespace cannot be of mode TARGET/);
  await refused(asks({ pid: NamespaceMode.POD }), "failed-precondition", /no shared PID namespace/);
  await remove(pod);
  const namespaceOptions = { pid: NamespaceMode.TARGET };
  await refused(sandbox({ linux: { securityContext: { namespaceOptions } } }), "invalid", /sandbox: its pid/);
});

test("a shared PID namespace: catatonit is process 1, as whom the sandbox names, filtered, and reaps orphans", async () => {
  const namespaceOptions = { pid: NamespaceMode.POD };
  const pod = await sandbox({
    linux: { securityContext: { namespaceOptions, runAsUser: { value: 1234n }, runAsGroup: { value: 77n } } },
  });
  const one = await node.run(pod, "exec sleep 4321", secured({ namespaceOptions }));
  const two = await node.run(pod, "sleep 1000"); // says nothing: what the Pod shares
  assert.equal((await namespacesIn(one)).pid, (await namespacesIn(two)).pid);
  assert.match(await run(two, "ps -o pid,args"), /^ +1 .*init -P$[^]*sleep 4321/m);
  const status = await run(two, "cat /proc/1/status");
  assert.match(status, /^Name:\tinit$|^Name:\tcatatonit$/m);
  assert.match(status, /^Uid:\t1234\t/m);
  assert.match(status, /^Gid:\t77\t/m);
  assert.match(status, /^Seccomp:\t2$/m);
  assert.match(status, /^CapBnd:\t0000000000000000$/m);
  // It may not be above what the daemon may give: without CAP_SYS_RESOURCE no lower than its own.
  const score = Number(await run(two, "cat /proc/1/oom_score_adj"));
  assert.ok(score === -998 || score === Number(readFileSync("/proc/self/oom_score_adj", "utf8")), String(score));
  assert.equal(
    await run(two, "sh -c 'sleep 0 & exec true'; while ps -o stat | grep -q Z; do :; done; echo none"),
    "none",
  );
  await remove(pod);
});

test("TARGET: the processes of another container of the Pod; not of one that has ended, or of another Pod", async () => {
  const pod = await sandbox();
  const other = await sandbox();
  const targetId = await node.run(pod, "exec sleep 5151");
  const options = (target: string) => secured({ namespaceOptions: { pid: NamespaceMode.TARGET, targetId: target } });
  const debug = await node.run(pod, "sleep 1000", options(targetId));
  assert.equal((await namespacesIn(debug)).pid, (await namespacesIn(targetId)).pid);
  assert.equal(await run(debug, "cat /proc/1/cmdline | tr '\\0' ' '"), "sleep 5151");
  await refused(node.create(other, "true", options(targetId)), "failed-precondition", /not running in this sandbox/);
  await node.runtime.stopContainer({ containerId: targetId, timeout: 0n });
  await refused(node.create(pod, "true", options(targetId)), "failed-precondition", /not running in this sandbox/);
  await refused(node.create(pod, "true", options("")), "not-found", /there is none/);
  await node.runtime.removePodSandbox({ podSandboxId: other });
  await remove(pod);
});

test("users: by number, by name, from the image; groups of the request and of the image, by policy", async () => {
  const image = await pushBusyboxImage(node.image.split("/")[0] ?? "", {
    tag: "users",
    config: { User: "app:staff" },
    furnish: (rootfs) => {
      writeFileSync(join(rootfs, "etc/passwd"), "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n");
      writeFileSync(
        join(rootfs, "etc/group"),
        "root:x:0:\napp:x:1000:\nstaff:x:50:\nextra:x:60:app,x\naudio:x:61:app\n",
      );
    },
  });
  await node.images.pullImage({ image: { image } });
  const pod = await sandbox();
  const rows: readonly [Security, string][] = [
    [{}, "1000 50 50 60 61"],
    [{ supplementalGroups: [7n, 8n] }, "1000 50 50 7 8 60 61"],
    [{ supplementalGroups: [7n], supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict }, "1000 50 50 7"],
    [{ runAsUsername: "app" }, "1000 1000 1000 60 61"],
    [{ runAsUser: { value: 1000n }, runAsGroup: { value: 9n } }, "1000 9 9 60 61"],
    [{ runAsUser: { value: 4444n } }, "4444 0 0"],
  ];
  for (const [security, want] of rows) {
    const id = await node.run(pod, "sleep 1000", { ...secured(security), image: { image } });
    assert.equal(await run(id, "echo $(id -u) $(id -g) $(id -G)"), want, JSON.stringify(want));
    const { status } = await node.runtime.containerStatus({ containerId: id });
    const user = status?.user?.linux;
    const reported = [user?.uid, user?.gid, ...(user?.supplementalGroups ?? [])].map(Number);
    const [uid, gid, ...groups] = want.split(" ").map(Number);
    assert.deepEqual(reported, [uid, gid, ...groups.toSorted((a, b) => a - b)]);
    if (security.runAsUser === undefined) assert.equal(await run(id, "echo $HOME"), "/home/app");
  }
  const asks = (security: Security) => node.create(pod, "true", { ...secured(security), image: { image } });
  await refused(asks({ runAsGroup: { value: 5n } }), "invalid", /needs a user/);
  await refused(asks({ runAsUsername: "ghost" }), "invalid", /no user "ghost"/);
  await refused(asks({ runAsUser: { value: -1n } }), "invalid", /not between/);
  await refused(asks({ supplementalGroupsPolicy: 9 as SupplementalGroupsPolicy }), "invalid", /no policy 9/);
  const groupAlone = sandbox({ linux: { securityContext: { runAsGroup: { value: 5n } } } });
  await refused(groupAlone, "invalid", /needs a user/);
  assert.equal((await node.runtime.status({})).features?.supplementalGroupsPolicy, true);
  await remove(pod);
});

test("capabilities: added, dropped, all dropped, ambient for a user that is not root, and no new privileges", async () => {
  const pod = await sandbox();
  const caps = async (security: Security): Promise<Record<string, bigint>> => {
    const id = await node.run(pod, "sleep 1000", secured(security));
    const text = await run(id, "grep -E 'Cap|NoNewPrivs' /proc/self/status");
    return Object.fromEntries(
      [...text.matchAll(/^(\w+):\s+(\w+)$/gm)].map(([, name = "", value = ""]) => [name, BigInt(`0x${value}`)]),
    );
  };
  const [chown, netRaw, netAdmin] = [1n << 0n, 1n << 13n, 1n << 12n];
  const plain = await caps({});
  assert.equal((plain.CapEff ?? 0n) & (chown | netRaw | netAdmin), chown | netRaw);
  assert.equal(plain.NoNewPrivs, 0n);
  const changed = await caps({ capabilities: { addCapabilities: ["NET_ADMIN"], dropCapabilities: ["CAP_NET_RAW"] } });
  assert.equal((changed.CapBnd ?? 0n) & (netRaw | netAdmin), netAdmin);
  const few = await caps({
    capabilities: { addCapabilities: ["chown"], dropCapabilities: ["ALL"] },
    noNewPrivs: true,
  });
  assert.deepEqual([few.CapEff, few.CapBnd, few.NoNewPrivs], [chown, chown, 1n]);
  const user = { runAsUser: { value: 1000n } };
  assert.equal((await caps({ ...user, capabilities: { addCapabilities: ["NET_ADMIN"] } })).CapEff, 0n);
  const raised = await caps({ ...user, capabilities: { addAmbientCapabilities: ["NET_ADMIN"] } });
  assert.deepEqual([raised.CapEff, raised.CapAmb], [netAdmin, netAdmin]);
  await remove(pod);
});

test("read-only root, masked and read-only paths; none of them for a privileged container", async () => {
  const paths = { maskedPaths: ["/proc/version", "/proc/tty", "/nowhere"], readonlyPaths: ["/proc/sys"] };
  const look =
    "touch /x && echo rw; cat /proc/version /proc/tty/drivers | wc -c; echo > /proc/sys/kernel/domainname && echo set";
  const pod = await sandbox({ linux: { securityContext: { privileged: true } } });
  const guarded = await node.run(pod, "sleep 1000", secured({ ...paths, readonlyRootfs: true }));
  assert.match(await run(guarded, look), /^0\ntouch: \/x: Read-only[^]*tty\/drivers[^]*domainname: Read-only/);
  assert.match(await run(guarded, "mount; touch /sys/x"), / \/sys type sysfs \(ro,[^]*touch/);
  const free = await node.run(pod, "sleep 1000", secured({ ...paths, privileged: true }));
  assert.match(await run(free, look), /^rw\n\d+[^]*set$/);
  assert.match(await run(free, "mount"), / \/sys type sysfs \(rw,/);
  assert.match(await run(free, "grep Seccomp: /proc/self/status"), /0$/);
  await remove(pod);
});

/** System calls by number on x64 and arm64, with arguments that make the kernel refuse them unless noted. */
const calls = {
  keyctl: { x64: 250, arm64: 219, args: [-1] },
  add_key: { x64: 248, arm64: 217, args: [] },
  io_uring_setup: { x64: 425, arm64: 425, args: [] },
  userfaultfd: { x64: 323, arm64: 282, args: [-1] },
  unshare: { x64: 272, arm64: 97, args: [0x10000000] }, // CLONE_NEWUSER: succeeds
  clone3: { x64: 435, arm64: 435, args: [] },
  mount: { x64: 165, arm64: 40, args: [] },
  socket_vsock: { x64: 41, arm64: 198, args: [40, 1] },
  socket_alg: { x64: 41, arm64: 198, args: [38, 5] },
  socket_netlink: { x64: 41, arm64: 198, args: [16, 3] },
  getpid: { x64: 39, arm64: 172, args: [] },
} as const;
type Call = keyof typeof calls;

/** The errno of each call made in the container, 0 for success. */
async function probe(id: string): Promise<Record<Call, number>> {
  const names = Object.keys(calls);
  const codes = await run(id, names.map((name) => `/probe/${name}; echo $?`).join("; "));
  return Object.fromEntries(codes.split("\n").map((code, index) => [names[index], Number(code)])) as Record<
    Call,
    number
  >; // as many as asked
}

test("seccomp: RuntimeDefault refuses what it must, in the right words, and capabilities unlock theirs", async () => {
  const programs = join(folder, "probe");
  mkdirSync(programs);
  for (const [name, { args, ...numbers }] of Object.entries(calls)) {
    const number = process.arch === "arm64" ? numbers.arm64 : numbers.x64;
    writeFileSync(join(programs, name), systemCallProgram(number, args), { mode: 0o755 });
  }
  const [EPERM, ENOSYS, EFAULT, EINVAL] = [1, 38, 14, 22];
  const mounts = [{ containerPath: "/probe", hostPath: programs, readonly: true }];
  const pod = await sandbox();
  const filtered = async (security: Security) =>
    await probe(await node.run(pod, "sleep 1000", { ...secured(security), mounts }));
  const runtimeDefault = { seccomp: { profileType: ProfileType.RuntimeDefault } };

  const strict = await filtered(runtimeDefault);
  for (const name of ["keyctl", "add_key", "io_uring_setup", "userfaultfd", "unshare", "mount"] as const)
    assert.equal(strict[name], EPERM, name);
  assert.deepEqual([strict.socket_vsock, strict.socket_alg, strict.socket_netlink], [EPERM, EPERM, 0]);
  assert.deepEqual([strict.clone3, strict.getpid], [ENOSYS, 0]);
  assert.deepEqual(await filtered({ seccompProfilePath: "runtime/default" }), strict);

  const open = await filtered({ seccomp: { profileType: ProfileType.Unconfined } });
  assert.deepEqual([open.add_key, open.io_uring_setup, open.clone3, open.unshare], [EFAULT, EFAULT, EINVAL, 0]);
  for (const name of ["keyctl", "socket_vsock", "socket_alg"] as const) assert.notEqual(open[name], EPERM, name);
  assert.deepEqual(await filtered({ seccompProfilePath: "unconfined" }), open);

  const admin = await filtered({ ...runtimeDefault, capabilities: { addCapabilities: ["SYS_ADMIN"] } });
  assert.deepEqual([admin.mount, admin.clone3, admin.unshare], [EFAULT, EINVAL, 0]);
  assert.deepEqual([admin.keyctl, admin.io_uring_setup, admin.socket_vsock], [EPERM, EPERM, EPERM]);

  const root = join(node.layout.kubeletDir, "seccomp");
  mkdirSync(root, { recursive: true });
  const rule = { names: ["getpid"], action: "SCMP_ACT_ERRNO", errnoRet: 99 };
  writeFileSync(join(root, "no-pid.json"), JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule] }));
  for (const security of [
    { seccomp: { profileType: ProfileType.Localhost, localhostRef: join(root, "no-pid.json") } },
    { seccompProfilePath: "localhost/no-pid.json" },
  ]) {
    assert.equal((await filtered(security)).getpid, 99);
  }
  writeFileSync(join(root, "bad.json"), JSON.stringify({ defaultAction: "SCMP_ACT_PERHAPS" }));
  const asks = (security: Security) => node.create(pod, "true", secured(security));
  await refused(
    asks({ seccompProfilePath: "localhost/bad.json" }),
    "failed-precondition",
    /no action SCMP_ACT_PERHAPS/,
  );
  await refused(asks({ seccompProfilePath: "localhost/absent.json" }), "failed-precondition", /absent\.json/);
  await refused(asks({ seccompProfilePath: "whatever" }), "invalid", /neither runtime\/default/);
  await refused(asks({ seccomp: { profileType: 9 as ProfileType } }), "invalid", /no profile type 9/);
  await refused(asks({ seccomp: { profileType: ProfileType.Localhost } }), "invalid", /needs its name/);
  await refused(asks({ seccomp: { localhostRef: "x" } }), "invalid", /type is not Localhost/);
  await remove(pod);
});

test("AppArmor and SELinux: a profile by name needs the kernel's support, contexts are checked, the rest is ignored", async () => {
  const pod = await sandbox();
  const asks = (security: Security) => node.create(pod, "true", secured(security));
  const localhost = { profileType: ProfileType.Localhost, localhostRef: "tripod-has-no-such-profile" };
  const why = /no AppArmor|is not loaded/;
  await refused(asks({ apparmor: localhost }), "failed-precondition", why);
  await refused(asks({ apparmorProfile: "localhost/tripod-has-no-such-profile" }), "failed-precondition", why);
  await refused(asks({ apparmorProfile: "tripod" }), "invalid", /neither runtime\/default/);
  await refused(asks({ selinuxOptions: { level: "s0 evil" } }), "invalid", /selinux: level/);
  for (const security of [
    { apparmor: { profileType: ProfileType.RuntimeDefault } },
    { apparmor: { profileType: ProfileType.Unconfined } },
    { apparmorProfile: "unconfined" },
    { selinuxOptions: { type: "spc_t", level: "s0:c1,c2" } },
  ]) {
    await asks(security);
  }
  await remove(pod);
});

test("sysctls: of network, IPC and domain name, with dots or slashes; not those of the host", async () => {
  const sysctls = {
    "net.ipv4.ip_unprivileged_port_start": "123",
    "net/ipv4/tcp_keepalive_time": "321",
    "net/ipv4/conf/all/forwarding": "1",
    "kernel.shm_rmid_forced": "1",
    "kernel/msgmax": "4242",
    "fs.mqueue.msg_max": "9",
    "kernel.domainname": "example.test",
  };
  const pod = await sandbox({ linux: { sysctls } });
  const id = await node.run(pod, "sleep 1000");
  for (const [name, value] of Object.entries(sysctls)) {
    assert.equal(await run(id, `cat /proc/sys/${name.replaceAll(".", "/")}`), value, name);
  }
  await remove(pod);
  const node_ = { network: NamespaceMode.NODE, ipc: NamespaceMode.NODE };
  const asks = (name: string, namespaceOptions = {}) =>
    sandbox({ linux: { sysctls: { [name]: "1" }, securityContext: { namespaceOptions } } });
  await refused(asks("vm.swappiness"), "invalid", /belongs to no namespace/);
  await refused(asks("kernel.shmem/../panic"), "invalid", /not the name|belongs to no/);
  await refused(asks("net/../kernel/panic"), "invalid", /not the name of a kernel parameter/);
  await refused(asks("net.ipv4.ip_forward", { network: node_.network }), "invalid", /shares the host's net/);
  await refused(asks("kernel.sem", { ipc: node_.ipc }), "invalid", /shares the host's ipc/);
});

test("devices: a folder, its own path, permissions that the cgroup keeps; wrong ones are refused", async () => {
  const pod = await sandbox();
  const id = await node.run(pod, "sleep 1000", {
    devices: [
      { hostPath: "/dev/net", containerPath: "/dev/nets", permissions: "rw" },
      { hostPath: "/dev/loop-control", containerPath: "", permissions: "r" },
    ],
  });
  assert.equal(await run(id, "ls /dev/nets"), "tun");
  const open =
    "(: < /dev/loop-control) && echo read; (: > /dev/loop-control) || echo no; (: > /dev/nets/tun) && echo written";
  assert.match(await run(id, open), /^read\nno\nwritten\n.*not permitted$/);
  const asks = (device: NonNullable<ContainerInit["devices"]>[number]) =>
    node.create(pod, "true", { devices: [device] });
  await refused(asks({ hostPath: "/dev/none", containerPath: "/x", permissions: "r" }), "not-found", /\/dev\/none/);
  await refused(asks({ hostPath: "/etc/hostname", containerPath: "/x", permissions: "r" }), "invalid", /not a device/);
  await refused(asks({ hostPath: "/dev/null", containerPath: "/x", permissions: "rq" }), "invalid", /"rwm"/);
  await refused(asks({ hostPath: "dev/null", containerPath: "/x", permissions: "r" }), "invalid", /absolute/);
  await remove(pod);
});

test("the image's configuration: entry point, arguments, folder, environment, volumes, stop signal", async () => {
  const image = await pushBusyboxImage(node.image.split("/")[0] ?? "", {
    tag: "configured",
    config: {
      Entrypoint: ["sh", "-c", 'echo "[$0] [$*] $(pwd)"; trap "echo heard; exit 7" USR1; while :; do sleep 0.01; done'],
      Cmd: ["of", "the image"],
      WorkingDir: "/made/for/it",
      Env: ["FOO=bar", "GREETING=hello"],
      Volumes: { "/data": {}, "/home/": {}, "/new/one": {}, "/rw": {} },
      StopSignal: "SIGUSR1",
    },
    furnish: (rootfs) => {
      mkdirSync(join(rootfs, "data/sub"), { recursive: true });
      writeFileSync(join(rootfs, "data/sub/file"), "from the image\n");
    },
  });
  await node.images.pullImage({ image: { image } });
  const pod = await sandbox();
  const shared = join(folder, "of-the-request");
  mkdirSync(shared);
  const own = { image: { image }, command: [] };
  const first = async (id: string): Promise<string> => {
    for (;;) {
      const [line] = await node.log(id).catch(() => []);
      if (line !== undefined && line !== "") return line;
    }
  };
  const id = await node.run(pod, "", {
    ...own,
    ...secured({ readonlyRootfs: true }),
    envs: [{ key: "FOO", value: Buffer.from("mine") }],
    mounts: [{ containerPath: "/rw", hostPath: shared }],
    workingDir: "/tmp",
  });
  assert.equal(await first(id), "stdout F [of] [the image] /tmp");
  assert.equal(await run(id, "echo $FOO $GREETING"), "mine hello");
  assert.equal(await run(id, "cat /data/sub/file; echo x > /data/sub/file && cat /data/sub/file"), "from the image\nx");
  assert.equal(
    await run(id, "touch /home/h /new/one/o /rw/r && ls /home /new/one; touch /x 2>/dev/null || echo ro"),
    "/home:\nh\n\n/new/one:\no\nro",
  );
  assert.deepEqual((await node.runtime.containerStatus({ containerId: id })).status?.mounts.length, 1);
  await node.runtime.stopContainer({ containerId: id, timeout: 30n });
  const ended = await node.reached(id, ContainerState.CONTAINER_EXITED);
  assert.deepEqual([ended.exitCode, ended.stopSignal], [7, Signal.SIGUSR1]);

  const second = await node.run(pod, "", { ...own, args: ["given"] });
  assert.equal(await first(second), "stdout F [given] [] /made/for/it");
  assert.equal(await run(second, "cat /data/sub/file"), "from the image"); // a volume of its own
  const third = await node.run(pod, "", { ...own, command: ["sh", "-c"], args: ["echo $PATH $HOSTNAME; sleep 1000"] });
  const { hostname: podName } = JSON.parse(
    (await node.runtime.podSandboxStatus({ podSandboxId: pod, verbose: true })).info.info ?? "",
  ).record.config;
  assert.equal(await first(third), `stdout F /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin ${podName}`);
  await remove(pod);
});

test("annotations and labels come back as they were given; a stop signal of the request goes before the image's", async () => {
  const odd = {
    "a/b": "",
    "": "no key",
    "k8s.io/\u00fc": 'line\nbreak \u{1f600} "q"',
    __proto__x: "1",
    constructor: "2",
  };
  const pod = await sandbox({ annotations: odd, labels: odd });
  const id = await node.run(pod, 'trap "exit 3" HUP; while :; do sleep 0.01; done', {
    annotations: odd,
    labels: odd,
    stopSignal: Signal.SIGHUP,
  });
  const { status } = await node.runtime.containerStatus({ containerId: id });
  const { status: podStatus } = await node.runtime.podSandboxStatus({ podSandboxId: pod });
  for (const shown of [status, podStatus]) {
    assert.deepEqual({ ...shown?.annotations }, odd);
    assert.deepEqual({ ...shown?.labels }, odd);
  }
  await node.runtime.stopContainer({ containerId: id, timeout: 30n });
  assert.equal((await node.reached(id, ContainerState.CONTAINER_EXITED)).exitCode, 3);
  await remove(pod);
});

test("OOM scores within what the daemon may give; unified keys where the machine has them; limits on huge pages", async () => {
  const pod = await sandbox();
  const own = Number(readFileSync("/proc/self/oom_score_adj", "utf8"));
  const mayLower = (BigInt(`0x${/CapBnd:\s+(\w+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]}`) >> 24n) & 1n;
  for (const [asked, want] of [
    [300n, 300],
    [-500n, mayLower === 1n ? -500 : Math.max(-500, own)],
  ] as const) {
    const id = await node.run(pod, "sleep 1000", { linux: { resources: { oomScoreAdj: asked } } });
    assert.equal(Number(await run(id, "cat /proc/1/oom_score_adj")), want);
  }
  const unified = node.create(pod, "true", { linux: { resources: { unified: { "memory.high": "8388608" } } } });
  if (cgroupVersion() === "v2") await unified;
  else await refused(unified, "failed-precondition", /unified limits.*cgroup v1/);
  // Limits on huge pages are left out where cgroups have none, as upstream's runtimes do.
  const hugepageLimits = [{ pageSize: "2MB", limit: 2097152n }];
  const limited = await node.run(pod, "sleep 1000", { linux: { resources: { hugepageLimits } } });
  if (cgroupVersion() !== "v2" && cgroupHierarchies().v1.has("hugetlb"))
    assert.match(await run(limited, "cat /sys/fs/cgroup/hugetlb/hugetlb.2MB.limit_in_bytes"), /^2097152$/m);
  await remove(pod);
});

test("a writable cgroup is a handler's option on cgroup v2, and refused on v1 where it would be a way out", () => {
  const options = (cgroupWritable: boolean) => handlerSettings({ own: { program: "runc", cgroupWritable } });
  if (cgroupVersion() === "v2") assert.equal(options(true).get("own")?.cgroupWritable, true);
  else assert.throws(() => options(true), /own: cgroupWritable needs cgroup v2/);
  assert.equal(options(false).get("own")?.cgroupWritable, false);
});

test("nothing of all that is left", () => {
  assert.deepEqual(node.leaks(), []);
});
