import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { codeOf, silentLogger } from "@tripod/base";
import { mountInfo, unmount } from "@tripod/linux";
import { loopFilesLeft, tempRoot } from "@tripod/testing";
import { mountBtrfs } from "./mount-btrfs.ts";
import { OverlaySnapshotter } from "./overlay-snapshotter.ts";

const fixture = new URL("./crash-fixture.ts", import.meta.url).pathname;
const maxSizeBytes = 16 * 1024 * 1024;
const root = tempRoot();
const folders = { ext4: join(root.path, "ext4"), btrfs: join(root.path, "btrfs") };

before(() => {
  mkdirSync(folders.ext4);
  mountBtrfs(folders.btrfs, `${folders.btrfs}.disk`);
});
after(async () => {
  unmount(folders.btrfs);
  await root[Symbol.asyncDispose]();
});

let serial = 0;
for (const [kind, failpoint] of [
  ["ext4", "oci.writable.disk-sized"],
  ["ext4", "oci.writable.disk-made"],
  ["ext4", "oci.writable.disk-mounted"],
  ["ext4", "oci.writable.made"],
  ["ext4", "oci.writable.mounted"],
  ["ext4", "oci.writable.unmounted"],
  ["ext4", "oci.writable.taken-away"],
  ["btrfs", "oci.writable.subvolume-made"],
  ["btrfs", "oci.writable.made"],
  ["btrfs", "oci.writable.mounted"],
  ["btrfs", "oci.writable.unmounted"],
  ["btrfs", "oci.writable.taken-away"],
  ["btrfs", "oci.writable.subvolume-deleted"],
] as const) {
  for (const then of ["made again", "removed"]) {
    test(`killed at ${failpoint} (${kind}), a limited writable can be ${then}, and nothing is left over`, async () => {
      serial += 1;
      const [dir, target] = [join(folders[kind], String(serial)), join(root.path, `rootfs${serial}`)];
      const killed = spawnSync(process.execPath, [fixture, dir, target, String(maxSizeBytes)], {
        stdio: ["ignore", "ignore", "inherit"],
        env: { ...process.env, TRIPOD_FAILPOINT: failpoint },
      });
      assert.equal(killed.signal, "SIGKILL");
      {
        await using snapshotter = await OverlaySnapshotter.open(dir, silentLogger);
        await snapshotter.sweep();
        if (then === "made again") {
          await snapshotter.mountWritable("c1", { layers: [], target, maxSizeBytes });
          writeFileSync(join(target, "other"), Buffer.alloc(1024 * 1024));
          assert.throws(
            () => writeFileSync(join(target, "big"), Buffer.alloc(17 * 1024 * 1024)),
            (error) => codeOf(error) === "exhausted",
          );
        }
        await snapshotter.removeWritable("c1", { target });
        assert.deepEqual(snapshotter.writables(), []);
      }
      assert.deepEqual(readdirSync(join(dir, "tmp")), []);
      assert.deepEqual(
        mountInfo().filter(({ mountPoint }) => mountPoint.startsWith(`${dir}/`) || mountPoint === target),
        [],
      );
      assert.deepEqual(await loopFilesLeft(`${dir}/`), []);
      if (kind === "btrfs")
        assert.equal(execFileSync("btrfs", ["subvolume", "list", folders.btrfs], { encoding: "utf8" }), "");
    });
  }
}
