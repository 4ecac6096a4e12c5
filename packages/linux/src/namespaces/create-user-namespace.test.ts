import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { isTripodError } from "@tripod/base";
import { canIdMap, cloneMount } from "../mounts/clone-mount.ts";
import { makeShared, mount, mountTmpfs } from "../mounts/mount.ts";
import { MOUNT_ATTR } from "../mounts/mount-attributes.ts";
import { isMountPoint } from "../mounts/mount-identity.ts";
import { mountInfo } from "../mounts/mount-info.ts";
import { unmount } from "../mounts/unmount.ts";
import { TemporaryFolder } from "../testing/temporary-folder.ts";
import { createUserNamespace } from "./create-user-namespace.ts";
import { namespaceExists } from "./namespace-identity.ts";
import { removeNamespace } from "./remove-namespace.ts";

const ids = { containerId: 0, hostId: 300_000, length: 65_536 };

/** Open to whoever the user namespace's root is here. */
function openFolder(): TemporaryFolder {
  const folder = new TemporaryFolder("userns");
  chmodSync(folder.path, 0o711);
  return folder;
}

/** Runs a command as root of the user namespace. */
const inside = (user: string, ...command: string[]): string => {
  const { stdout, stderr } = spawnSync("nsenter", [`--user=${user}`, ...command], { encoding: "utf8" });
  return stdout + stderr;
};

const children = (): string => readFileSync("/proc/thread-self/children", "utf8");

test("createUserNamespace pins a mapped namespace and others that it owns, and no process stays", async () => {
  using folder = openFolder();
  const [user, net, ipc, uts] = ["user", "net", "ipc", "uts"].map((name) => folder.join(name)) as [
    string,
    string,
    string,
    string,
  ];
  const before = children();
  await createUserNamespace(user, { uids: ids, gids: { ...ids, hostId: 400_000 }, net, ipc, uts, hostname: "pod" });
  assert.equal(children(), before);
  assert.match(inside(user, "cat", "/proc/self/uid_map"), /^\s+0\s+300000\s+65536\n$/);
  assert.match(inside(user, "cat", "/proc/self/gid_map"), /^\s+0\s+400000\s+65536\n$/);
  // Only the owner of a network namespace may bring its links up, and only the owner of a UTS namespace may rename it.
  assert.equal(inside(user, "nsenter", `--net=${net}`, "ip", "link", "set", "lo", "up"), "");
  assert.equal(inside(user, "nsenter", `--uts=${uts}`, "hostname"), "pod\n");
  assert.equal(inside(user, "nsenter", `--uts=${uts}`, "hostname", "other"), "");
  await assert.rejects(createUserNamespace(user, { uids: ids, gids: ids }), { code: "already-exists" });
  for (const path of [user, net, ipc, uts]) {
    removeNamespace(path);
    assert(!namespaceExists(path));
  }
});

test("a mapping that the kernel refuses leaves neither pin nor process", async () => {
  using folder = new TemporaryFolder("userns");
  const before = children();
  const bad = { ...ids, hostId: 2 ** 32 - 2 };
  await assert.rejects(
    createUserNamespace(folder.join("user"), { uids: bad, gids: ids, net: folder.join("net") }),
    (error) => {
      assert.match(String(error), /map users 0 4294967294 65536/);
      return isTripodError(error, "failed-precondition");
    },
  );
  assert(!namespaceExists(folder.join("user")) && !namespaceExists(folder.join("net")));
  assert.equal(children(), before);
});

test("an id-mapped clone shows owners as the namespace's, and writes them back as they were", async () => {
  using folder = openFolder();
  const [user, source, target] = [folder.join("user"), folder.join("source"), folder.join("target")];
  await createUserNamespace(user, { uids: ids, gids: ids });
  try {
    for (const path of [source, target]) mkdirSync(path);
    writeFileSync(`${source}/file`, "x");
    assert(canIdMap(source, user));
    cloneMount(source, target, { userNamespace: user });
    assert.equal(statSync(`${target}/file`).uid, 300_000);
    assert.equal(inside(user, "sh", "-c", `echo y > ${target}/new`), "");
    assert.equal(statSync(`${source}/new`).uid, 0);
    assert.match(inside(user, "sh", "-c", `echo y > ${source}/no`), /Permission denied/);
    // What is mapped already is not mapped again.
    assert.throws(() => cloneMount(target, source, { userNamespace: user }), { errno: "EPERM" });
    assert.equal(unmount(target), true);
  } finally {
    removeNamespace(user);
  }
});

test("file systems that cannot be id-mapped say so, and nothing is mounted", async () => {
  using folder = new TemporaryFolder("userns");
  const [user, proc, target] = [folder.join("user"), folder.join("proc"), folder.join("target")];
  await createUserNamespace(user, { uids: ids, gids: ids });
  try {
    for (const path of [proc, target]) mkdirSync(path);
    mount({ source: "proc", target: proc, type: "proc" });
    assert(!canIdMap(proc, user));
    assert.throws(() => cloneMount(proc, target, { userNamespace: user }), {
      syscall: "mount_setattr",
      errno: "EINVAL",
    });
    assert(!isMountPoint(target));
    assert.throws(() => cloneMount(proc, target, { userNamespace: folder.join("none") }), { code: "not-found" });
  } finally {
    removeNamespace(user);
  }
});

test("a clone is cut off from a shared source: unmounting it leaves what is mounted below the source", () => {
  using folder = new TemporaryFolder("clone");
  const [source, target] = [folder.join("source"), folder.join("target")];
  for (const path of [source, target]) mkdirSync(path);
  mountTmpfs(source);
  makeShared(source);
  mkdirSync(`${source}/sub`);
  mkdirSync(`${source}/late`);
  mountTmpfs(`${source}/sub`);
  for (const follow of [false, true]) {
    cloneMount(source, target, { recursive: true, follow, attributes: MOUNT_ATTR.RDONLY, recursiveAttributes: true });
    assert.throws(() => writeFileSync(`${target}/sub/x`, ""), { code: "EROFS" });
    mountTmpfs(`${source}/late`);
    assert.equal(isMountPoint(`${target}/late`), follow);
    unmount(`${source}/late`);
    assert(unmount(target, { detach: true }));
    assert(isMountPoint(`${source}/sub`));
  }
  assert.deepEqual(readdirSync(target), []);
  assert.equal(mountInfo().filter(({ mountPoint }) => mountPoint.startsWith(`${target}`)).length, 0);
});
