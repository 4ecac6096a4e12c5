import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { hostname, networkInterfaces } from "node:os";
import { test } from "node:test";
import { isTripodError } from "@tripod/base";
import { bindMount } from "../mounts/bind-mount.ts";
import { makeShared, mountTmpfs } from "../mounts/mount.ts";
import { mountInfo } from "../mounts/mount-info.ts";
import { isMountPoint } from "../mounts/mount-identity.ts";
import { openRtnetlink } from "../netlink/rtnetlink.ts";
import { TemporaryFolder } from "../testing/temporary-folder.ts";
import { createNamespaces } from "./create-namespaces.ts";
import { inNamespaces, inNetns } from "./in-namespaces.ts";
import { namespaceExists, namespaceIdentity } from "./namespace-identity.ts";
import { removeNamespace } from "./remove-namespace.ts";

const own = (): string[] => ["net", "ipc", "uts", "mnt"].map((kind) => readlinkSync(`/proc/thread-self/ns/${kind}`));

test("createNamespaces pins new namespaces and leaves the thread in its own", () => {
  using folder = new TemporaryFolder("ns");
  const before = own();
  const name = hostname();
  const [net, ipc, uts] = [folder.join("a/net"), folder.join("a/ipc"), folder.join("a/uts")];
  createNamespaces({ net, ipc, uts, hostname: "pod-1" });
  assert.deepEqual(own(), before);
  assert.equal(hostname(), name);
  for (const path of [net, ipc, uts]) {
    assert(namespaceExists(path));
    assert(isMountPoint(path));
  }
  assert.notEqual(namespaceIdentity(net), namespaceIdentity("/proc/thread-self/ns/net"));
  assert.equal(
    inNamespaces({ uts }, () => readFileSync("/proc/sys/kernel/hostname", "utf8")),
    "pod-1\n",
  );
  const child = spawnSync("nsenter", [`--net=${net}`, "cat", "/proc/net/dev"], { encoding: "utf8" });
  assert.match(child.stdout, /lo:/);
  for (const path of [net, ipc, uts]) {
    removeNamespace(path);
    removeNamespace(path);
    assert(!namespaceExists(path));
  }
});

test("a namespace pinned twice at the same path is refused, a file left by a crash is used", () => {
  using folder = new TemporaryFolder("ns");
  const net = folder.join("net");
  writeFileSync(net, "");
  assert(!namespaceExists(net));
  createNamespaces({ net });
  const identity = namespaceIdentity(net);
  assert.throws(
    () => createNamespaces({ net, ipc: folder.join("ipc") }),
    (error) => isTripodError(error, "already-exists"),
  );
  assert.equal(namespaceIdentity(net), identity);
  removeNamespace(net);
});

test("a step that fails leaves none of the namespaces and the thread in its own", () => {
  using folder = new TemporaryFolder("ns");
  const before = own();
  const [net, uts] = [folder.join("net"), folder.join("uts")];
  assert.throws(() => createNamespaces({ net, uts, hostname: "x".repeat(65) }), /sethostname/);
  assert(!namespaceExists(net));
  writeFileSync(folder.join("file"), "");
  assert.throws(() => createNamespaces({ net, uts: folder.join("file/uts") }), /ENOTDIR|EEXIST/);
  assert(!namespaceExists(net));
  assert.deepEqual(own(), before);
});

test("inNetns runs inside, nests, and puts the thread back after a throw", () => {
  using folder = new TemporaryFolder("ns");
  const [a, b] = [folder.join("a"), folder.join("b")];
  createNamespaces({ net: a });
  createNamespaces({ net: b });
  const before = own();
  const seen = inNetns(a, () => [
    namespaceIdentity("/proc/thread-self/ns/net"),
    inNetns(b, () => namespaceIdentity("/proc/thread-self/ns/net")),
    namespaceIdentity("/proc/thread-self/ns/net"),
  ]);
  assert.deepEqual(seen, [namespaceIdentity(a), namespaceIdentity(b), namespaceIdentity(a)]);
  assert.deepEqual(Object.keys(inNetns(a, () => networkInterfaces())), []);
  assert.throws(() =>
    inNetns(a, () => {
      throw new Error("inside");
    }),
  );
  assert.throws(
    () => inNetns(a, () => Promise.resolve()),
    (error) => isTripodError(error, "internal"),
  );
  assert.throws(() => inNetns(folder.join("none"), () => 1), { code: "ENOENT" });
  assert.throws(() => inNetns("/etc/hostname", () => 1), { errno: "EINVAL" });
  assert.deepEqual(own(), before);
  removeNamespace(a);
  removeNamespace(b);
});

test("removeNamespace frees the namespace and what is in it", () => {
  using folder = new TemporaryFolder("ns");
  const [a, b] = [folder.join("a"), folder.join("b")];
  createNamespaces({ net: a });
  createNamespaces({ net: b });
  using there = openRtnetlink({ netns: a });
  there.linkAdd({ kind: "veth", name: "v0", peer: { name: "v1", netns: b } });
  removeNamespace(b);
  // The namespace's end deletes its links, and with one end of a veth the other: in the background, so deleting it may find it gone.
  there.linkDelete("v0");
  assert.equal(there.findLink("v0"), undefined);
  removeNamespace(a);
});

test("a pin in a shared folder is private, and goes from the folder's copies too", () => {
  using folder = new TemporaryFolder("ns");
  const [one, two] = [folder.join("one"), folder.join("two")];
  mkdirSync(one);
  mkdirSync(two);
  mountTmpfs(one);
  makeShared(one);
  bindMount(one, two);
  createNamespaces({ net: `${one}/net` });
  const pin = mountInfo().find(({ mountPoint }) => mountPoint === `${one}/net`);
  assert.deepEqual(pin?.propagation, []);
  assert.equal(pin?.type, "nsfs");
  removeNamespace(`${one}/net`);
  assert.deepEqual(
    mountInfo().filter(({ mountPoint }) => mountPoint.startsWith(folder.path) && mountPoint.endsWith("/net")),
    [],
  );
  assert.throws(() => statSync(`${two}/net`), { code: "ENOENT" });
});
