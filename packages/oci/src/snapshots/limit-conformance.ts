import assert from "node:assert/strict";
import { closeSync, existsSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "@tripod/base";
import { unmount } from "@tripod/linux";
import { commit, type ConformanceSubject, facts, mebibyte, registrar } from "./conformance-subject.ts";

/** Closing may tell once more that not all found room. */
function closeIfItFits(fd: number): void {
  try {
    closeSync(fd);
  } catch (error) {
    if (codeOf(error) !== "exhausted") throw error;
  }
}

/** Writes until the file system refuses more; how many bytes it took. */
function fill(file: string): number {
  let fd: number;
  try {
    fd = openSync(file, "w");
  } catch (error) {
    if (codeOf(error) !== "exhausted") throw error; // btrfs refuses files, too
    return 0;
  }
  let written = 0;
  try {
    for (let size = mebibyte; size >= 4096; ) {
      try {
        written += writeSync(fd, Buffer.alloc(size, 1));
      } catch (error) {
        if (codeOf(error) !== "exhausted") throw error; // ENOSPC, EDQUOT
        size /= 2;
      }
      assert.ok(written < 100 * mebibyte, "nothing stops it");
    }
  } finally {
    closeIfItFits(fd);
  }
  return written;
}

/** The tests of Snapshotter that are about what may be written. */
export function limitConformance(name: string, make: () => Promise<ConformanceSubject>): void {
  const it = registrar(name, make);

  it("a limited writable takes what its limit allows and no more, and goes as any other does", async (subject) => {
    const { snapshotter, targets } = subject;
    const chain = await commit(snapshotter, facts("limited"), (dir) => writeFile(join(dir, "below"), "x".repeat(5000)));
    const options = { layers: [chain], target: join(targets, "rootfs"), maxSizeBytes: 16 * mebibyte };
    await snapshotter.mountWritable("l", options);
    const file = join(options.target, "big");
    const written = fill(file);
    assert.ok(written <= 16 * mebibyte && written > 13 * mebibyte, `${written} bytes could be written`);
    const { bytes } = await snapshotter.writableUsage("l");
    assert.ok(bytes >= written && bytes <= 16 * mebibyte, `${bytes} bytes are said to be written`);
    const other = { layers: [chain], target: join(targets, "other") };
    await snapshotter.mountWritable("u", other);
    assert.equal(snapshotter.limitedPlace("u"), undefined);
    writeFileSync(join(other.target, "file"), Buffer.alloc(17 * mebibyte));
    await snapshotter.removeWritable("u", other);
    await rm(file);
    assert.ok((await snapshotter.writableUsage("l")).bytes < mebibyte);
    writeFileSync(file, Buffer.alloc(8 * mebibyte, 1));
    writeFileSync(join(options.target, "below"), "changed");

    unmount(options.target);
    const later = await subject.reopen();
    await later.mountWritable("l", options);
    assert.equal(readFileSync(join(options.target, "below"), "utf8"), "changed");
    assert.ok(fill(file) < 16 * mebibyte);
    await later.removeWritable("l", options);
    await later.removeWritable("l", options);
    assert.deepEqual(later.writables(), []);
    await assert.rejects(later.writableUsage("l"), { code: "not-found" });
  });

  it("what a caller keeps beside a limited writable counts toward its limit, and goes with it", async (subject) => {
    const { snapshotter, targets } = subject;
    const options = { layers: [], target: join(targets, "rootfs"), maxSizeBytes: 16 * mebibyte };
    await snapshotter.mountWritable("l", options);
    const place = snapshotter.limitedPlace("l");
    assert.ok(place !== undefined);
    await mkdir(place);
    const written = fill(join(place, "big"));
    assert.ok(written <= 16 * mebibyte && written > 13 * mebibyte, `${written} bytes could be written`);
    assert.ok(fill(join(options.target, "file")) < mebibyte);
    await snapshotter.removeWritable("l", options);
    assert.equal(existsSync(place), false);
  });

  it("a limit that nothing can keep is refused, and leaves nothing", async ({ snapshotter, targets }) => {
    const target = join(targets, "rootfs");
    for (const maxSizeBytes of [0, -1, 1.5, Number.NaN, mebibyte - 1, 2 ** 60]) {
      await assert.rejects(snapshotter.mountWritable("z", { layers: [], target, maxSizeBytes }), { code: "invalid" });
      await snapshotter.removeWritable("z", { target });
    }
    await snapshotter.mountWritable("z", { layers: [], target, maxSizeBytes: mebibyte });
    writeFileSync(join(target, "file"), Buffer.alloc(mebibyte / 2));
    await snapshotter.removeWritable("z", { target });
    assert.deepEqual(snapshotter.writables(), []);
  });
}
