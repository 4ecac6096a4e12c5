import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger } from "@tripod/base";
import { mountInfo } from "@tripod/linux";
import { tempRoot } from "@tripod/testing";
import { digestOf } from "../digest.ts";
import { OverlaySnapshotter } from "./overlay-snapshotter.ts";
import { snapshotterConformance } from "./snapshotter-conformance.ts";

snapshotterConformance("overlay", async () => {
  const root = tempRoot();
  const dir = join(root.path, "snapshots");
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
      assert.deepEqual(
        mountInfo().filter(({ mountPoint }) => mountPoint.startsWith(root.path)),
        [],
      );
      await root[Symbol.asyncDispose]();
    },
  };
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
