import assert from "node:assert/strict";
import { closeSync, constants, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { isTripodError } from "@tripod/base";
import { TemporaryFolder } from "../testing/temporary-folder.ts";
import { bindMount } from "./bind-mount.ts";
import { makeShared, mount, mountTmpfs } from "./mount.ts";
import { MOUNT_ATTR, setMountAttributes } from "./mount-attributes.ts";
import { isMountPoint, mountId } from "./mount-identity.ts";
import { mountInfo, parseMountInfo } from "./mount-info.ts";
import { openInRoot } from "./open-in-root.ts";
import { unmount } from "./unmount.ts";

test("mountinfo lines are parsed, octal escapes and missing fields included", () => {
  const [plain, odd, bare] = parseMountInfo(
    [
      "36 35 98:0 /mnt1 /mnt2 rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue",
      "40 35 0:50 / /tmp/a\\040b\\011c\\134d ro - overlay over\\040lay rw,lowerdir=/l\\0401:/l2",
      "41 35 0:51 / /empty rw -  tmpfs  rw".replace("-  tmpfs", "- tmpfs"),
      "",
    ].join("\n"),
  );
  assert.deepEqual(plain, {
    id: 36,
    parentId: 35,
    device: "98:0",
    root: "/mnt1",
    mountPoint: "/mnt2",
    options: ["rw", "noatime"],
    propagation: ["shared:1", "master:2"],
    type: "ext3",
    source: "/dev/root",
    superOptions: ["rw", "errors=continue"],
  });
  assert.equal(odd?.mountPoint, "/tmp/a b\tc\\d");
  assert.equal(odd?.source, "over lay");
  assert.deepEqual(odd?.superOptions, ["rw", "lowerdir=/l 1:/l2"]);
  assert.equal(bare?.source, "");
  for (const wrong of ["garbage", "1 2 3:4 / /x rw", "1 2 3:4 / /x rw - "]) {
    assert.throws(
      () => parseMountInfo(wrong),
      (error) => isTripodError(error, "corrupt"),
      wrong,
    );
  }
});

test("a mount is seen by statx and mountinfo alike, and goes once", () => {
  using folder = new TemporaryFolder("mounts");
  const target = folder.join("with space\\and\ttab");
  mkdirSync(target);
  assert(!isMountPoint(target));
  mountTmpfs(target, { sizeBytes: 65536, mode: 0o700 });
  assert(isMountPoint(target));
  const entry = mountInfo().find(({ mountPoint }) => mountPoint === target);
  assert.equal(entry?.type, "tmpfs");
  assert.equal(entry?.id, mountId(target));
  assert.notEqual(mountId(target), mountId(folder.path));
  assert.throws(() => writeFileSync(`${target}/big`, Buffer.alloc(200_000)), { code: "ENOSPC" });
  assert(unmount(target));
  assert(!unmount(target));
  assert(!unmount(folder.join("absent")));
  assert(!isMountPoint(folder.join("absent")));
});

test("a busy mount is refused, and detached when asked", () => {
  using folder = new TemporaryFolder("mounts");
  mountTmpfs(folder.path);
  const file = openInRoot(folder.path, "f", { flags: constants.O_CREAT | constants.O_RDWR });
  assert.throws(() => unmount(folder.path), { errno: "EBUSY", code: "failed-precondition" });
  assert(unmount(folder.path, { detach: true }));
  closeSync(file);
});

test("a recursive read-only bind mount is read-only all the way down, the source is not", () => {
  using folder = new TemporaryFolder("mounts");
  const [source, target] = [folder.join("source"), folder.join("target")];
  mkdirSync(source);
  mkdirSync(target);
  mountTmpfs(source);
  mkdirSync(`${source}/sub`);
  mountTmpfs(`${source}/sub`);
  bindMount(source, target, { recursive: true, readOnly: true, propagation: "private" });
  for (const file of ["x", "sub/x"]) {
    assert.throws(() => writeFileSync(`${target}/${file}`, ""), { code: "EROFS" }, file);
    writeFileSync(`${source}/${file}`, "seen");
    assert.equal(readFileSync(`${target}/${file}`, "utf8"), "seen");
  }
  setMountAttributes(target, { clear: MOUNT_ATTR.RDONLY, set: MOUNT_ATTR.NOSUID });
  writeFileSync(`${target}/y`, "");
  unmount(`${target}/sub`);
  unmount(target);
  bindMount(source, target);
  assert(!isMountPoint(`${target}/sub`));
});

test("a bind mount that fails leaves nothing mounted", () => {
  using folder = new TemporaryFolder("mounts");
  assert.throws(() => bindMount(folder.join("absent"), folder.path), { code: "not-found" });
  assert(!isMountPoint(folder.path));
});

test("propagation is what was asked for", () => {
  using folder = new TemporaryFolder("mounts");
  const [one, two] = [folder.join("one"), folder.join("two")];
  mkdirSync(one);
  mkdirSync(two);
  mountTmpfs(one);
  makeShared(one);
  bindMount(one, two, { propagation: "slave" });
  mkdirSync(`${one}/sub`);
  mountTmpfs(`${one}/sub`);
  assert(isMountPoint(`${two}/sub`));
  unmount(`${one}/sub`);
  assert(!isMountPoint(`${two}/sub`));
});

test("overlay mounts show layers and keep writes in the upper one", () => {
  using folder = new TemporaryFolder("mounts");
  for (const name of ["l1", "l2", "upper", "work", "merged"]) mkdirSync(folder.join(name));
  writeFileSync(folder.join("l1/a"), "lower");
  writeFileSync(folder.join("l2/b"), "lower");
  const at = (name: string): string => folder.join(name);
  mount({
    source: "overlay",
    target: at("merged"),
    type: "overlay",
    data: `lowerdir=${at("l1")}:${at("l2")},upperdir=${at("upper")},workdir=${at("work")}`,
  });
  writeFileSync(at("merged/a"), "changed");
  assert.equal(readFileSync(at("upper/a"), "utf8"), "changed");
  assert.equal(readFileSync(at("l1/a"), "utf8"), "lower");
  assert.equal(readFileSync(at("merged/b"), "utf8"), "lower");
  unmount(at("merged"));
});

test("openInRoot keeps links and .. inside", () => {
  using folder = new TemporaryFolder("mounts");
  const root = folder.join("root");
  mkdirSync(`${root}/etc`, { recursive: true });
  writeFileSync(`${root}/etc/passwd`, "inside");
  writeFileSync(folder.join("secret"), "outside");
  symlinkSync("/etc/passwd", `${root}/absolute`);
  symlinkSync("../../../../etc/passwd", `${root}/etc/up`);
  symlinkSync(folder.join("secret"), `${root}/escape`);
  symlinkSync("loop", `${root}/loop`);
  symlinkSync("/proc/self/root/etc", `${root}/magic`);
  const read = (path: string): string => {
    const file = openInRoot(root, path);
    try {
      return readFileSync(file, "utf8");
    } finally {
      closeSync(file);
    }
  };
  for (const path of ["etc/passwd", "/etc/passwd", "../etc/passwd", "absolute", "etc/up"])
    assert.equal(read(path), "inside", path);
  for (const path of ["escape", "../secret", "magic/passwd"])
    assert.throws(() => read(path), { errno: "ENOENT" }, path);
  assert.throws(() => read("loop"), { errno: "ELOOP" });
  assert.throws(() => openInRoot(root, "absolute", { noSymlinks: true }), { errno: "ELOOP" });
});
