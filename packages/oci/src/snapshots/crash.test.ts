import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { codeOf, silentLogger } from "@tripod/base";
import { mountInfo, unmount } from "@tripod/linux";
import { loopFilesLeft, tempRoot } from "@tripod/testing";
import { digestOf } from "../digest.ts";
import { LayeredSnapshotter } from "./layered-snapshotter.ts";
import { mountBtrfs } from "./mount-btrfs.ts";

const fixture = new URL("./crash-fixture.ts", import.meta.url).pathname;
const maxSizeBytes = 16 * 1024 * 1024;
const layer = digestOf("layer");
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

async function killedAt(failpoint: string, args: readonly string[]): Promise<NodeJS.Signals | null> {
  const child = spawn(process.execPath, [fixture, ...args], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, TRIPOD_FAILPOINT: failpoint, NODE_COMPILE_CACHE: join(root.path, "compile-cache") },
  });
  await once(child, "exit");
  return child.signalCode;
}

let serial = 0;
for (const [kind, place, limited, failpoints] of [
  [
    "overlay",
    "ext4",
    true,
    [
      "oci.writable.disk-sized",
      "oci.writable.disk-made",
      "oci.writable.disk-mounted",
      "oci.writable.made",
      "oci.writable.mounted",
      "oci.writable.unmounted",
      "oci.writable.taken-away",
    ],
  ],
  [
    "overlay",
    "btrfs",
    true,
    [
      "oci.writable.subvolume-made",
      "oci.writable.made",
      "oci.writable.mounted",
      "oci.writable.unmounted",
      "oci.writable.taken-away",
      "oci.writable.subvolume-deleted",
    ],
  ],
  ["fuse-overlayfs", "ext4", false, ["oci.writable.made", "oci.writable.mounted", "oci.writable.taken-away"]],
  ["native", "ext4", false, ["oci.tree.begun", "oci.tree.copied", "oci.writable.mounted", "oci.writable.taken-away"]],
  ["native", "ext4", true, ["oci.tree.copied", "oci.writable.made", "oci.writable.unmounted"]],
  [
    "btrfs",
    "btrfs",
    false,
    [
      "oci.tree.begun", // of the layers
      "oci.tree.copied",
      "oci.tree.snapshotted",
      "oci.writable.mounted",
      "oci.writable.taken-away",
      "oci.writable.subvolume-deleted",
      "oci.layers.flat-taken",
    ],
  ],
] as const) {
  for (const [index, failpoint] of failpoints.entries()) {
    // For what is new with the kind, one way on each: which comes by turns.
    const ways = ["made again", "removed"].filter((_, way) => kind === "overlay" || (index + way) % 2 === 0);
    for (const then of ways) {
      const what = `${limited ? "limited " : ""}writable (${kind} on ${place})`;
      test(`killed at ${failpoint}, a ${what} can be ${then}, and nothing is left over`, async () => {
        serial += 1;
        const [dir, target] = [join(folders[place], String(serial)), join(root.path, `rootfs${serial}`)];
        const limit = limited ? { maxSizeBytes } : {};
        const args = [dir, kind, target, ...(limited ? [String(maxSizeBytes)] : [])];
        assert.equal(await killedAt(failpoint, args), "SIGKILL");
        {
          await using snapshotter = await LayeredSnapshotter.open(dir, silentLogger, kind);
          await snapshotter.sweep();
          if (then === "made again" && snapshotter.layer(layer) !== undefined) {
            await snapshotter.mountWritable("c1", { layers: [layer], target, ...limit });
            assert.ok(existsSync(join(target, "below")));
            writeFileSync(join(target, "other"), Buffer.alloc(1024 * 1024));
            if (limited) {
              assert.throws(
                () => writeFileSync(join(target, "big"), Buffer.alloc(17 * 1024 * 1024)),
                (error) => codeOf(error) === "exhausted",
              );
            }
          }
          await snapshotter.removeWritable("c1", { target });
          assert.deepEqual(snapshotter.writables(), []);
          await snapshotter.removeLayers([layer]);
          await snapshotter.sweep();
        }
        for (const folder of ["tmp", "flat"]) assert.deepEqual(readdirSync(join(dir, folder)), [], folder);
        assert.deepEqual(
          mountInfo().filter(({ mountPoint }) => mountPoint.startsWith(`${dir}/`) || mountPoint === target),
          [],
        );
        assert.deepEqual(await loopFilesLeft(`${dir}/`), []);
        if (place === "btrfs")
          assert.equal(execFileSync("btrfs", ["subvolume", "list", folders.btrfs], { encoding: "utf8" }), "");
      });
    }
  }
}
