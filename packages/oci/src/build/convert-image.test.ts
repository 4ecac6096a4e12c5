import assert from "node:assert/strict";
import { join } from "node:path";
import { readFile, rm } from "node:fs/promises";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { isTripodError, silentLogger } from "@tripod/base";
import { tempRoot } from "@tripod/testing";
import { digestOf } from "../digest.ts";
import { Images } from "../images.ts";
import { file, lazyRegistry, noise, other, estargzLayer } from "../lazy/lazy-image-fixture.ts";
import { hasToc } from "../lazy/read-toc.ts";
import { mediaTypes } from "../spec/media-types.ts";
import { layerTar } from "./layer-tar.ts";

test("an image is converted to one of the same files that can be started early, the same each time", async () => {
  const big = noise(5_000_000, 5);
  const ns = -1_500_000_000n;
  const tar = Buffer.concat(
    await Array.fromAsync(
      layerTar([
        other("etc/", "directory", { mtime: 7, uid: 3 }),
        file("etc/big", big, { xattrs: new Map([["user.color", Buffer.from("blue")]]), mtime: -1.5, mtimeNs: ns }),
        file("empty", Buffer.alloc(0), { mtime: 1, mtimeNs: 1_000_000_001n }),
        other("hard", "link", { linkName: "etc/big" }),
        other("soft", "symlink", { linkName: `${"x".repeat(150)}/etc/big` }),
      ]),
    ),
  );
  const plain = { blob: gzipSync(tar), diffId: digestOf(tar), annotations: {}, mediaType: mediaTypes.ociLayerGzip };
  const second = await estargzLayer([file("etc/.wh.big", Buffer.alloc(0)), file(`${"d/".repeat(80)}deep`, big)]);
  await using registry = await lazyRegistry([plain, second]);
  registry.release();
  await using root = tempRoot();
  await using images = await Images.open({ layout: root.layout, log: silentLogger });
  const before = await images.pull(registry.name);
  assert.deepEqual(before.layers.map(hasToc), [false, true]);
  const after = await images.convert(before.id, { tag: "early:1" });
  assert.deepEqual(after.repoTags, ["docker.io/library/early:1"]);
  assert.deepEqual(after.layers.map(hasToc), [true, true]);
  assert.equal(after.layers[1]?.digest, before.layers[1]?.digest);
  // The second layer's table of contents, as a file, is the topmost before and after.
  assert.deepEqual(await images.diff(before.id, { image: after.id }), []);
  assert.equal((await images.convert(before.id, { tag: "early:2" })).id, after.id);
  assert.equal((await images.convert(after.id, { tag: "early:3" })).id, after.id);
  const { rootfs } = await images.prepareRootfs("one", after.id);
  assert.equal(digestOf(await readFile(join(rootfs, "hard"))), digestOf(big));
  await images.removeRootfs("one");

  await rm(join(root.layout.contentDir, "blobs/sha256", before.layers[0]?.digest.slice(7) ?? ""));
  await assert.rejects(images.convert(before.id, { tag: "early:4" }), (error) =>
    isTripodError(error, "failed-precondition"),
  );
});
