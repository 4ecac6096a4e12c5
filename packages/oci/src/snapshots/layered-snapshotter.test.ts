import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { codeOf, isNodeError, silentLogger } from "@tripod/base";
import { cloneMount, createUserNamespace, mountInfo, mountTmpfs, removeNamespace, unmount } from "@tripod/linux";
import { loopFilesLeft, tempRoot } from "@tripod/testing";
import { digestOf } from "../digest.ts";
import { mountBtrfs } from "./mount-btrfs.ts";
import { LayeredSnapshotter } from "./layered-snapshotter.ts";
import { mountOverlay } from "./overlay-mount.ts";
import { type SnapshotterKind, snapshotterKinds, snapshotterProblem } from "./snapshotter-kind.ts";
import { type ConformanceSubject, idMapConformance, snapshotterConformance } from "./snapshotter-conformance.ts";

const mebibyte = 1024 * 1024;
const mountsBelow = (path: string): string[] =>
  mountInfo().flatMap(({ mountPoint }) => (mountPoint.startsWith(path) ? [mountPoint] : []));

/** Snapshots in a folder below `parent`, and the check that nothing of them is left when the test is over. */
async function subject(parent: string, kind: SnapshotterKind = "overlay"): Promise<ConformanceSubject> {
  const root = tempRoot();
  const dir = join(parent === "" ? root.path : parent, "snapshots");
  const targets = join(root.path, "targets");
  mkdirSync(targets);
  const opened = new AsyncDisposableStack();
  const open = async (): Promise<LayeredSnapshotter> =>
    opened.use(await LayeredSnapshotter.open(dir, silentLogger, kind));
  return {
    snapshotter: await open(),
    targets,
    reopen: open,
    async [Symbol.asyncDispose]() {
      await opened.disposeAsync();
      for (const below of [root.path, dir]) {
        assert.deepEqual(mountsBelow(below), []);
        assert.deepEqual(await loopFilesLeft(below), []);
      }
      assert.deepEqual(readdirSync(join(dir, "tmp")), []);
      await root[Symbol.asyncDispose]();
    },
  };
}

snapshotterConformance("overlay", () => subject(""));

const root = tempRoot();
const btrfs = join(root.path, "btrfs");
// What is id-mapped already, here to itself, cannot be once more.
const unmappable = join(root.path, "id-mapped");
before(async () => {
  mountBtrfs(btrfs, join(root.path, "btrfs.disk"));
  const userNamespace = join(root.path, "user");
  const all = { containerId: 0, hostId: 0, length: 4_294_967_295 };
  await createUserNamespace(userNamespace, { uids: all, gids: all });
  mkdirSync(unmappable);
  cloneMount(root.path, unmappable, { userNamespace });
  removeNamespace(userNamespace);
});
after(async () => {
  unmount(btrfs);
  unmount(unmappable);
  await root[Symbol.asyncDispose]();
});

let subjects = 0;
const newFolder = (parent: string): string => {
  subjects += 1;
  const folder = join(parent, String(subjects));
  mkdirSync(folder);
  return folder;
};
snapshotterConformance("overlay on btrfs", () => subject(newFolder(btrfs)));
snapshotterConformance("fuse-overlayfs", () => subject("", "fuse-overlayfs"));
snapshotterConformance("native", () => subject("", "native"));
for (const kind of ["native", "overlay"] as const)
  idMapConformance(`${kind} where mounts cannot be id-mapped`, () => subject(newFolder(unmappable), kind));
snapshotterConformance("btrfs", () => subject(newFolder(btrfs), "btrfs"));

test("overlay: folders whose names separate mount options are no trouble", async () => {
  await using root = tempRoot();
  await using snapshotter = await LayeredSnapshotter.open(join(root.path, "a:b,c\\d"), silentLogger);
  {
    await using draft = await snapshotter.draft();
    writeFileSync(join(draft.dir, "file"), "");
    await draft.commit({ chainId: digestOf("x"), parent: undefined, bytes: 0, inodes: 1, opaqueRoot: false });
  }
  const target = join(root.path, "rootfs");
  await snapshotter.mountWritable("k", { layers: [digestOf("x")], target });
  assert.ok(mountInfo().some(({ mountPoint, type }) => mountPoint === target && type === "overlay"));
  await snapshotter.removeWritable("k", { target });
});

test("overlay: a limited writable of before a reboot has a size, and is mounted again or removed", async () => {
  await using root = tempRoot();
  await using snapshotter = await LayeredSnapshotter.open(join(root.path, "snapshots"), silentLogger);
  const options = { layers: [], target: join(root.path, "rootfs"), maxSizeBytes: 16 * mebibyte };
  const lose = async (): Promise<void> => {
    for (const path of mountsBelow(root.path).reverse()) unmount(path);
    assert.deepEqual(await loopFilesLeft(root.path), []);
  };
  await snapshotter.mountWritable("k", options);
  writeFileSync(join(options.target, "file"), "x".repeat(mebibyte));
  await lose();
  const { bytes } = await snapshotter.writableUsage("k");
  assert.ok(bytes > mebibyte && bytes < 2 * mebibyte, String(bytes));
  await snapshotter.mountWritable("k", options);
  assert.equal(readFileSync(join(options.target, "file"), "utf8").length, mebibyte);
  await lose();
  await snapshotter.removeWritable("k", options);
  assert.deepEqual(mountsBelow(root.path), []);
  assert.deepEqual(snapshotter.writables(), []);
});

test("overlay: what is deleted in a limited writable gives its space on the disk back", async () => {
  await using root = tempRoot();
  const dir = join(root.path, "snapshots");
  await using snapshotter = await LayeredSnapshotter.open(dir, silentLogger);
  const options = { layers: [], target: join(root.path, "rootfs"), maxSizeBytes: 16 * mebibyte };
  await snapshotter.mountWritable("k", options);
  const file = join(options.target, "file");
  const disk = join(dir, "containers/k/disk");
  const bytes = (): number => statSync(disk).blocks * 512;
  assert.ok(bytes() < mebibyte, "an empty one takes next to nothing");
  writeFileSync(file, Buffer.alloc(8 * mebibyte, 1));
  execFileSync("sync", ["--file-system", join(dir, "containers/k/limited")]);
  assert.ok(bytes() >= 8 * mebibyte);
  rmSync(file);
  execFileSync("sync", ["--file-system", join(dir, "containers/k/limited")]);
  assert.ok(bytes() < mebibyte, `${bytes()} bytes are still taken`);
  await snapshotter.removeWritable("k", options);
});

test("overlay: when the disk below a limited writable is full, what did not reach it is lost, and it can be removed", async () => {
  await using root = tempRoot();
  mountTmpfs(root.path, { sizeBytes: 8 * mebibyte });
  {
    await using snapshotter = await LayeredSnapshotter.open(join(root.path, "snapshots"), silentLogger);
    const options = { layers: [], target: join(root.path, "rootfs"), maxSizeBytes: 64 * mebibyte };
    await snapshotter.mountWritable("k", options);
    const file = openSync(join(options.target, "file"), "w");
    try {
      writeSync(file, Buffer.alloc(16 * mebibyte, 1));
      const folder = join(root.path, "snapshots/containers/k/limited");
      assert.throws(
        () => execFileSync("sync", ["--file-system", folder], { stdio: "pipe" }),
        /Input\/output error|No space left/,
      );
      assert.throws(() => fsyncSync(file), { code: /^(EIO|ENOSPC)$/ }); // whichever the kernel met first
    } finally {
      closeSync(file);
    }
    const late = { layers: [], target: join(root.path, "late"), maxSizeBytes: 64 * mebibyte };
    await assert.rejects(snapshotter.mountWritable("late", late), (error) => codeOf(error) === "exhausted");
    await snapshotter.removeWritable("late", late);
    await snapshotter.removeWritable("k", options);
  }
  assert.deepEqual(mountsBelow(`${root.path}/`), []);
  assert.deepEqual(await loopFilesLeft(root.path), []);
  unmount(root.path);
});

test("overlay on btrfs: a removed limited writable leaves neither subvolume nor quota group", async () => {
  execFileSync("btrfs", ["subvolume", "sync", btrfs]); // what the tests before have removed
  const dir = join(btrfs, "quota");
  const before = subvolumes(); // trees of layers that are still there
  const groups = quotaGroups();
  {
    await using snapshotter = await LayeredSnapshotter.open(dir, silentLogger);
    const options = { layers: [], target: join(root.path, "rootfs"), maxSizeBytes: 16 * mebibyte };
    await snapshotter.mountWritable("k", options);
    writeFileSync(join(options.target, "file"), Buffer.alloc(mebibyte));
    assert.equal(subvolumes().length, before.length + 1);
    assert.equal(quotaGroups().length, groups.length + 1);
    await snapshotter.removeWritable("k", options);
  }
  execFileSync("btrfs", ["subvolume", "sync", btrfs]);
  assert.deepEqual(subvolumes(), before);
  assert.equal(quotaGroups().length, groups.length);
});

const lines = (args: readonly string[]): string[] =>
  execFileSync("btrfs", args, { encoding: "utf8" })
    .split("\n")
    .filter((line) => line !== "");
const subvolumes = (): string[] => lines(["subvolume", "list", btrfs]);
const quotaGroups = (): string[] => lines(["qgroup", "show", btrfs]).filter((line) => line.startsWith("0/"));

test("a store may be opened as another kind: its layers serve, and each writable stays what it is", async () => {
  const dir = join(newFolder(btrfs), "snapshots");
  const layers = [digestOf("shared")];
  const file = (target: string): string => readFileSync(join(target, "file"), "utf8");
  const targetOf = (key: string): string => join(root.path, `of-${key}`);
  for (const [index, kind] of snapshotterKinds.entries()) {
    await using snapshotter = await LayeredSnapshotter.open(dir, silentLogger, kind);
    if (index === 0) {
      await using draft = await snapshotter.draft();
      writeFileSync(join(draft.dir, "file"), "of the layer");
      await draft.commit({ chainId: digestOf("shared"), parent: undefined, bytes: 4096, inodes: 1, opaqueRoot: false });
    }
    await snapshotter.mountWritable(kind, { layers, target: targetOf(kind) });
    assert.equal(file(targetOf(kind)), "of the layer");
    writeFileSync(join(targetOf(kind), "file"), `of ${kind}`);
  }
  for (const kind of snapshotterKinds) unmount(targetOf(kind)); // a reboot
  for (const [index, kind] of snapshotterKinds.entries()) {
    const other = snapshotterKinds[(index + 1) % snapshotterKinds.length];
    await using snapshotter = await LayeredSnapshotter.open(dir, silentLogger, other);
    await snapshotter.mountWritable(kind, { layers, target: targetOf(kind) });
    assert.equal(file(targetOf(kind)), `of ${kind}`);
    assert.equal((await snapshotter.writableUsage(kind)).inodes, 1);
    await snapshotter.removeWritable(kind, { target: targetOf(kind) });
    assert.deepEqual(mountsBelow(targetOf(kind)), []);
  }
});

test("fuse-overlayfs: where its process has died, the writable is mounted again, or removed", async () => {
  await using folder = tempRoot();
  await using snapshotter = await LayeredSnapshotter.open(join(folder.path, "s"), silentLogger, "fuse-overlayfs");
  const options = { layers: [], target: join(folder.path, "rootfs") };
  const killIt = (): void => {
    const pid = readdirSync("/proc").find((name) => {
      if (!/^\d+$/.test(name) || !existsSync(`/proc/${name}/cmdline`)) return false;
      return readFileSync(`/proc/${name}/cmdline`, "utf8").endsWith(`${options.target}\0`);
    });
    process.kill(Number(pid), "SIGKILL");
  };
  await snapshotter.mountWritable("k", options);
  writeFileSync(join(options.target, "file"), "kept");
  killIt();
  await dead(options.target);
  await snapshotter.mountWritable("k", options);
  assert.equal(readFileSync(join(options.target, "file"), "utf8"), "kept");
  killIt();
  await dead(options.target);
  await snapshotter.removeWritable("k", options);
  assert.deepEqual(mountsBelow(folder.path), []);
});

/** Resolves once the kernel has noticed that nobody serves the mount. */
async function dead(target: string): Promise<void> {
  for (;;) {
    try {
      statSync(target);
    } catch (error) {
      if (isNodeError(error, "ENOTCONN", "ECONNABORTED")) return;
      throw error;
    }
    await nextTurn();
  }
}

test("btrfs: subvolumes that a container has made, read-only ones too, and folders deeper than a path go with it", async () => {
  const dir = join(newFolder(btrfs), "snapshots");
  const before = subvolumes();
  {
    await using snapshotter = await LayeredSnapshotter.open(dir, silentLogger, "btrfs");
    const chainId = digestOf("nested");
    {
      await using draft = await snapshotter.draft();
      await draft.commit({ chainId, parent: undefined, bytes: 0, inodes: 0, opaqueRoot: false });
    }
    const options = { layers: [chainId], target: join(root.path, "nested") };
    await snapshotter.mountWritable("k", options);
    mkdirSync(join(options.target, "a"));
    execFileSync("btrfs", ["subvolume", "create", join(options.target, "a/own")]);
    execFileSync("btrfs", ["subvolume", "snapshot", "-r", options.target, join(options.target, "a/own/all")]);
    const descend = 'n=$(printf %0200d 0); for i in $(seq 30); do mkdir "$n" && cd -P "$n" || exit 1; done';
    execFileSync("bash", ["-c", descend], { cwd: options.target });
    await snapshotter.removeWritable("k", options);
    await snapshotter.removeLayers([chainId]);
  }
  execFileSync("btrfs", ["subvolume", "sync", btrfs]);
  assert.deepEqual(subvolumes(), before);
  assert.deepEqual(readdirSync(join(dir, "tmp")), []);
});

test("a snapshotter that does not work in a folder says why, and what to do; trying leaves nothing", async () => {
  await using folder = tempRoot();
  const dir = join(folder.path, "dir");
  for (const kind of snapshotterKinds) {
    const found = await snapshotterProblem(kind, dir);
    if (kind === "btrfs") assert.match(`${found?.problem}; ${found?.remedy}`, /is not on btrfs; .*mkfs\.btrfs/);
    else assert.equal(found, undefined, kind);
  }
  assert.equal(await snapshotterProblem("btrfs", btrfs), undefined);
  const [lower, upper, work, target] = ["lower", "upper", "work", "target"].map((name) => join(folder.path, name));
  for (const path of [lower, upper, work, target]) mkdirSync(path ?? "");
  mountOverlay({ lower: [lower ?? ""], writable: { upper: upper ?? "", work: work ?? "" }, target: target ?? "" });
  // Another overlay takes no whiteouts, which layers have.
  for (const kind of ["overlay", "native", "fuse-overlayfs"] as const)
    assert.match((await snapshotterProblem(kind, target ?? ""))?.remedy ?? "", /ext4, XFS or btrfs/, kind);
  assert.deepEqual(readdirSync(target ?? ""), []);
});
