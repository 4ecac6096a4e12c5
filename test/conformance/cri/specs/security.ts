import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SecurityProfile_ProfileType as ProfileType } from "@tripod/api/cri";
import { skip, topic } from "../suite/spec.ts";
import { refused, type Sandbox, type World } from "../suite/world.ts";

const statusOf = (world: World, id: string, field: string): Promise<string> =>
  world.exec(id, "sh", "-c", `grep '^${field}:' /proc/1/status | tr -s '\\t ' ' ' | cut -d' ' -f2`);
const bit = (mask: string, capability: number): boolean => ((BigInt(`0x${mask}`) >> BigInt(capability)) & 1n) === 1n;
const CAP_CHOWN = 0;
const CAP_NET_ADMIN = 12;
const CAP_NET_RAW = 13;
const CAP_SYS_ADMIN = 21;

const privilegedSandbox = (world: World): Promise<Sandbox> =>
  world.sandbox({ linux: { securityContext: { privileged: true } } });

/** A profile that forbids one thing, as a file. */
function profile(
  world: World,
  names: readonly string[],
): { readonly profileType: ProfileType; readonly localhostRef: string } {
  const localhostRef = join(world.folder(), "profile.json");
  const syscalls = [{ names, action: "SCMP_ACT_ERRNO" }];
  writeFileSync(localhostRef, JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls }));
  return { profileType: ProfileType.Localhost, localhostRef };
}

export const security = topic("security", {
  async "the root file system is writable unless it is asked to be read-only"(world) {
    const pod = await world.pod();
    await world.exec(await world.run(pod), "touch", "/written");
    const readonly = await world.secured(pod, { readonlyRootfs: true });
    assert.match(await world.execFails(readonly, "touch", "/written"), /Read-only file system/);
    await world.exec(readonly, "touch", "/dev/shm/written");
  },
  async "a plain container has the usual fourteen capabilities, effective and bounding"(world) {
    const id = await world.run(await world.pod());
    assert.equal(await statusOf(world, id, "CapBnd"), "00000000a80425fb");
    assert.equal(await statusOf(world, id, "CapEff"), "00000000a80425fb");
  },
  async "a plain container may not manage the network, one with NET_ADMIN may"(world) {
    const pod = await world.sandbox();
    const add = ["ip", "link", "add", "of-spec", "type", "dummy"];
    await world.execFails(await world.run(pod), ...add);
    const able = await world.secured(pod, { capabilities: { addCapabilities: ["NET_ADMIN"] } });
    assert.ok(bit(await statusOf(world, able, "CapEff"), CAP_NET_ADMIN));
    await world.exec(able, "ip", "link", "set", "lo", "mtu", "1400");
  },
  async "a capability may be named with CAP_, in any case"(world) {
    const capabilities = { addCapabilities: ["CAP_NET_ADMIN"], dropCapabilities: ["chown"] };
    const mask = await statusOf(world, await world.secured(await world.pod(), { capabilities }), "CapEff");
    assert.ok(bit(mask, CAP_NET_ADMIN));
    assert.ok(!bit(mask, CAP_CHOWN));
  },
  async "a dropped capability is missing"(world) {
    const id = await world.secured(await world.pod(), { capabilities: { dropCapabilities: ["NET_RAW"] } });
    assert.ok(!bit(await statusOf(world, id, "CapBnd"), CAP_NET_RAW));
    await world.execFails(id, "ping", "-c", "1", "127.0.0.1");
  },
  async "ALL adds every capability that the node can give"(world) {
    const all = readFileSync("/proc/self/status", "utf8").match(/^CapBnd:\s*(\S+)$/m)?.[1] ?? "";
    const id = await world.secured(await world.pod(), { capabilities: { addCapabilities: ["ALL"] } });
    const mask = await statusOf(world, id, "CapBnd");
    assert.ok(bit(mask, CAP_SYS_ADMIN));
    assert.equal(mask, all);
  },
  async "ALL drops every capability, and what is added beside it stays"(world) {
    const pod = await world.pod();
    const none = await world.secured(pod, { capabilities: { dropCapabilities: ["ALL"] } });
    assert.equal(await statusOf(world, none, "CapBnd"), "0000000000000000");
    const capabilities = { addCapabilities: ["CHOWN"], dropCapabilities: ["ALL"] };
    assert.equal(await statusOf(world, await world.secured(pod, { capabilities }), "CapBnd"), "0000000000000001");
  },
  async "an ambient capability reaches a program that is not root"(world) {
    const capabilities = { addCapabilities: ["NET_ADMIN"], addAmbientCapabilities: ["NET_ADMIN"] };
    const id = await world.secured(await world.pod(), { runAsUser: { value: 1001n }, capabilities });
    assert.ok(bit(await statusOf(world, id, "CapEff"), CAP_NET_ADMIN), "it is not effective");
  },
  async "without an ambient one a program that is not root has no capability"(world) {
    const id = await world.secured(await world.pod(), { runAsUser: { value: 1001n } });
    assert.equal(await statusOf(world, id, "CapEff"), "0000000000000000");
  },
  async "a privileged container has all capabilities, the node's devices and no filter"(world) {
    const sandbox = await privilegedSandbox(world);
    const id = await world.secured(sandbox, { privileged: true });
    assert.ok(bit(await statusOf(world, id, "CapEff"), CAP_SYS_ADMIN));
    assert.equal(await statusOf(world, id, "Seccomp"), "0");
    await world.exec(id, "test", "-c", "/dev/kmsg");
    await world.exec(id, "sh", "-c", "mkdir /m && mount -t tmpfs none /m && umount /m");
    await world.exec(id, "test", "-w", "/proc/sys/kernel/domainname");
  },
  async "a privileged container in a sandbox that is not privileged is refused"(world) {
    await refused(world.secured(await world.pod(), { privileged: true }));
  },
  async "a container that is not privileged in a privileged sandbox is an ordinary one"(world) {
    const id = await world.run(await privilegedSandbox(world));
    assert.ok(!bit(await statusOf(world, id, "CapEff"), CAP_SYS_ADMIN));
    await world.execFails(id, "sh", "-c", "mkdir /m && mount -t tmpfs none /m");
  },
  async "the devices of an ordinary container are the harmless ones"(world) {
    const names = (await world.exec(await world.run(await world.pod()), "ls", "/dev")).split(/\s+/);
    for (const name of [
      "null",
      "zero",
      "full",
      "random",
      "urandom",
      "tty",
      "ptmx",
      "pts",
      "shm",
      "fd",
      "stdin",
      "stdout",
      "stderr",
    ])
      assert.ok(names.includes(name), `/dev/${name} is missing`);
    for (const name of ["kmsg", "mem", "kvm", "loop0"]) assert.ok(!names.includes(name), `/dev/${name} is there`);
  },
  async "masked paths cannot be read"(world) {
    const id = await world.secured(await world.pod(), {
      maskedPaths: ["/data", "/etc/nsswitch.conf", "/there/is/none"],
    });
    assert.equal(await world.exec(id, "ls", "/data"), "");
    assert.equal(await world.exec(id, "cat", "/etc/nsswitch.conf"), "");
  },
  async "read-only paths cannot be written"(world) {
    const id = await world.secured(await world.pod(), { readonlyPaths: ["/tmp", "/there/is/none"] });
    assert.match(await world.execFails(id, "touch", "/tmp/file"), /Read-only file system/);
    await world.exec(id, "touch", "/root/file");
  },
  async "no_new_privs is set when it is asked for, and not otherwise"(world) {
    const pod = await world.pod();
    assert.equal(await statusOf(world, await world.secured(pod, { noNewPrivs: true }), "NoNewPrivs"), "1");
    assert.equal(await statusOf(world, await world.secured(pod, { noNewPrivs: false }), "NoNewPrivs"), "0");
  },
  async "no_new_privs holds for commands in the container too"(world) {
    const id = await world.secured(await world.pod(), { noNewPrivs: true });
    assert.match(await world.exec(id, "grep", "NoNewPrivs", "/proc/self/status"), /1$/);
  },
  async "without a profile, and with Unconfined, there is no seccomp filter"(world) {
    const pod = await world.pod();
    assert.equal(await statusOf(world, await world.run(pod), "Seccomp"), "0");
    const unconfined = await world.secured(pod, { seccomp: { profileType: ProfileType.Unconfined } });
    assert.equal(await statusOf(world, unconfined, "Seccomp"), "0");
  },
  async "RuntimeDefault is a seccomp filter, for commands in the container too"(world) {
    const id = await world.secured(await world.pod(), { seccomp: { profileType: ProfileType.RuntimeDefault } });
    assert.equal(await statusOf(world, id, "Seccomp"), "2");
    assert.match(await world.exec(id, "grep", "Seccomp:", "/proc/self/status"), /2$/);
    await world.execFails(id, "unshare", "-U", "true");
  },
  async "a Localhost profile forbids what it says"(world) {
    const pod = await world.pod();
    const seccomp = profile(world, ["chmod", "fchmodat", "fchmodat2"]);
    const id = await world.secured(pod, { seccomp });
    assert.match(await world.execFails(id, "chmod", "700", "/root"), /Operation not permitted/);
    await world.exec(id, "chown", "1:1", "/root");
  },
  async "a Localhost profile holds for a container with SYS_ADMIN, and Unconfined lets it set the hostname"(world) {
    const sandbox = await world.sandbox();
    const capabilities = { addCapabilities: ["SYS_ADMIN"] };
    const filtered = await world.secured(sandbox, { capabilities, seccomp: profile(world, ["sethostname"]) });
    await world.execFails(filtered, "hostname", "other");
    const free = await world.secured(sandbox, { capabilities, seccomp: { profileType: ProfileType.Unconfined } });
    await world.exec(free, "hostname", "other");
  },
  async "a privileged container has no filter whatever profile it names"(world) {
    const sandbox = await privilegedSandbox(world);
    const id = await world.secured(sandbox, { privileged: true, seccomp: profile(world, ["sethostname"]) });
    await world.exec(id, "hostname", "other");
  },
  async "a Localhost profile that is not there, or is none, is refused"(world) {
    const pod = await world.pod();
    const localhostRef = join(world.folder(), "profile.json");
    const seccomp = { profileType: ProfileType.Localhost, localhostRef };
    await refused(world.secured(pod, { seccomp }));
    writeFileSync(localhostRef, "{ not JSON");
    await refused(world.secured(pod, { seccomp }));
  },
  async "a Localhost profile without a name is refused"(world) {
    await refused(world.secured(await world.pod(), { seccomp: { profileType: ProfileType.Localhost } }));
  },
  async "AppArmor: a profile that is not loaded is refused"(world) {
    if (!existsSync("/sys/module/apparmor/parameters/enabled")) skip("this kernel has no AppArmor");
    const apparmor = { profileType: ProfileType.Localhost, localhostRef: "there-is-no-such-profile" };
    await refused(world.secured(await world.pod(), { apparmor }));
  },
  async "AppArmor: RuntimeDefault confines a container"(world) {
    if (!existsSync("/sys/module/apparmor/parameters/enabled")) skip("this kernel has no AppArmor");
    const apparmor = { profileType: ProfileType.RuntimeDefault };
    const id = await world.secured(await world.pod(), { apparmor });
    assert.match(await world.exec(id, "cat", "/proc/1/attr/current"), /\(enforce\)/);
  },
  async "SELinux: a label is the process's"(world) {
    if (!existsSync("/sys/fs/selinux/enforce")) skip("this kernel has no SELinux");
    const selinuxOptions = { user: "system_u", role: "system_r", type: "container_t", level: "s0:c1,c2" };
    const id = await world.secured(await world.pod(), { selinuxOptions });
    assert.match(await world.exec(id, "cat", "/proc/1/attr/current"), /container_t:s0:c1,c2/);
  },
});
