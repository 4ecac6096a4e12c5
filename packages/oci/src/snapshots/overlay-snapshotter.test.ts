import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
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
import { codeOf, silentLogger } from "@tripod/base";
import { mountInfo, mountTmpfs, unmount } from "@tripod/linux";
import { loopFilesLeft, tempRoot } from "@tripod/testing";
import { digestOf } from "../digest.ts";
import { mountBtrfs } from "./mount-btrfs.ts";
import { OverlaySnapshotter } from "./overlay-snapshotter.ts";
import { type ConformanceSubject, snapshotterConformance } from "./snapshotter-conformance.ts";

const mebibyte = 1024 * 1024;
const mountsBelow = (path: string): string[] =>
  mountInfo().flatMap(({ mountPoint }) => (mountPoint.startsWith(path) ? [mountPoint] : []));

/** Snapshots in a folder below `parent`, and the check that nothing of them is left when the test is over. */
async function subject(parent: string): Promise<ConformanceSubject> {
  const root = tempRoot();
  const dir = join(parent === "" ? root.path : parent, "snapshots");
  const targets = join(root.path, "targets");
  mkdirSync(targets);
  const opened = new AsyncDisposableStack();
  const open = async (): Promise<OverlaySnapshotter> => opened.use(await OverlaySnapshotter.open(dir, silentLogger));
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
before(() => {
  mountBtrfs(btrfs, join(root.path, "btrfs.disk"));
});
after(async () => {
  unmount(btrfs);
  await root[Symbol.asyncDispose]();
});

let subjects = 0;
snapshotterConformance("overlay on btrfs", () => {
  subjects += 1;
  const parent = join(btrfs, String(subjects));
  mkdirSync(parent);
  return subject(parent);
});

test("overlay: folders whose names separate mount options are no trouble", async () => {
  await using root = tempRoot();
  await using snapshotter = await OverlaySnapshotter.open(join(root.path, "a:b,c\\d"), silentLogger);
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
  await using snapshotter = await OverlaySnapshotter.open(join(root.path, "snapshots"), silentLogger);
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
  await using snapshotter = await OverlaySnapshotter.open(dir, silentLogger);
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
    await using snapshotter = await OverlaySnapshotter.open(join(root.path, "snapshots"), silentLogger);
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
  {
    await using snapshotter = await OverlaySnapshotter.open(dir, silentLogger);
    const options = { layers: [], target: join(root.path, "rootfs"), maxSizeBytes: 16 * mebibyte };
    await snapshotter.mountWritable("k", options);
    writeFileSync(join(options.target, "file"), Buffer.alloc(mebibyte));
    assert.equal(subvolumes().length, 1);
    assert.equal(quotaGroups().length, 2); // the file system's own is the first
    await snapshotter.removeWritable("k", options);
  }
  execFileSync("btrfs", ["subvolume", "sync", btrfs]);
  assert.deepEqual(subvolumes(), []);
  assert.equal(quotaGroups().length, 1);
});

const lines = (args: readonly string[]): string[] =>
  execFileSync("btrfs", args, { encoding: "utf8" })
    .split("\n")
    .filter((line) => line !== "");
const subvolumes = (): string[] => lines(["subvolume", "list", btrfs]);
const quotaGroups = (): string[] => lines(["qgroup", "show", btrfs]).filter((line) => line.startsWith("0/"));
