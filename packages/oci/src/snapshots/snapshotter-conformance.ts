import assert from "node:assert/strict";
import {
  closeSync,
  existsSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { chmod, chown, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { codeOf } from "@tripod/base";
import {
  createUserNamespace,
  isMountPoint,
  lsetxattr,
  mknod,
  mountInfo,
  removeNamespace,
  unmount,
} from "@tripod/linux";
import { type Digest, digestOf } from "../digest.ts";
import type { LayerFacts, Snapshotter } from "./snapshotter.ts";

export interface ConformanceSubject extends AsyncDisposable {
  readonly snapshotter: Snapshotter;
  /** An empty folder for mount points. */
  readonly targets: string;
  /** Opens the same snapshots again, as a process does that comes after a crash. */
  reopen(): Promise<Snapshotter>;
}

const mebibyte = 1024 * 1024;

const facts = (name: string, parent?: Digest): LayerFacts => ({
  chainId: digestOf(name),
  parent,
  bytes: 1,
  inodes: 1,
  opaqueRoot: false,
});

async function commit(
  snapshotter: Snapshotter,
  layer: LayerFacts,
  fill: (dir: string) => Promise<void>,
): Promise<Digest> {
  await using draft = await snapshotter.draft();
  await fill(draft.dir);
  await draft.commit(layer);
  return layer.chainId;
}

/** Writes until the file system refuses more; how many bytes it took. */
function fill(file: string): number {
  const fd = openSync(file, "w");
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
    closeSync(fd);
  }
  return written;
}

/** The tests that every Snapshotter must pass; registers them with node:test. Needs root. */
export function snapshotterConformance(name: string, make: () => Promise<ConformanceSubject>): void {
  const it = (says: string, run: (subject: ConformanceSubject) => Promise<void>): void => {
    test(`${name}: ${says}`, async () => {
      await using subject = await make();
      await run(subject);
    });
  };

  it("a draft becomes a layer all at once, or leaves nothing", async ({ snapshotter }) => {
    const kept = facts("kept");
    {
      await using draft = await snapshotter.draft();
      assert.deepEqual(readdirSync(draft.dir), []);
      await writeFile(join(draft.dir, "file"), "x");
      assert.equal(snapshotter.layer(kept.chainId), undefined);
      await draft.commit(kept);
    }
    const layer = snapshotter.layer(kept.chainId);
    assert.ok(layer !== undefined);
    assert.equal(readFileSync(join(layer.dir, "file"), "utf8"), "x");
    assert.deepEqual({ ...layer, dir: "" }, { ...kept, dir: "" });
    let dropped = "";
    {
      await using draft = await snapshotter.draft();
      dropped = draft.dir;
    }
    assert.ok(!existsSync(dropped));
    assert.equal(snapshotter.layers().length, 1);
  });

  it("the first of two drafts for one layer wins, the second is no error", async ({ snapshotter }) => {
    await Promise.all(
      ["a", "b"].map((text) => commit(snapshotter, facts("same"), (dir) => writeFile(join(dir, text), ""))),
    );
    assert.equal(snapshotter.layers().length, 1);
    assert.equal(readdirSync(snapshotter.layer(digestOf("same"))?.dir ?? "").length, 1);
  });

  it("a writable shows its layers, whiteouts applied, and keeps what is written from them", async ({
    snapshotter,
    targets,
  }) => {
    const bottom = await commit(snapshotter, facts("bottom"), async (dir) => {
      for (const file of ["gone", "kept", "changed"]) await writeFile(join(dir, file), "bottom");
      await mkdir(join(dir, "opaque"));
      await writeFile(join(dir, "opaque/below"), "");
    });
    const top = await commit(snapshotter, facts("top", bottom), async (dir) => {
      await writeFile(join(dir, "changed"), "top");
      mknod(join(dir, "gone"), { kind: "character", mode: 0 });
      await mkdir(join(dir, "opaque"));
      lsetxattr(join(dir, "opaque"), "trusted.overlay.opaque", { value: Buffer.from("y") });
      await writeFile(join(dir, "opaque/above"), "");
    });
    const target = join(targets, "a/rootfs");
    await snapshotter.mountWritable("a", { layers: [bottom, top], target });
    assert.deepEqual(readdirSync(target).toSorted(), ["changed", "kept", "opaque"]);
    assert.equal(readFileSync(join(target, "changed"), "utf8"), "top");
    assert.deepEqual(readdirSync(join(target, "opaque")), ["above"]);
    writeFileSync(join(target, "kept"), "written");
    await rm(join(target, "changed"));
    const other = join(targets, "b/rootfs");
    await snapshotter.mountWritable("b", { layers: [bottom, top], target: other });
    assert.equal(readFileSync(join(other, "kept"), "utf8"), "bottom");
    for (const [key, mounted] of [
      ["a", target],
      ["b", other],
    ] as const)
      await snapshotter.removeWritable(key, { target: mounted });
  });

  it("the root of a writable has the top layer's owner and mode", async ({ snapshotter, targets }) => {
    const chain = await commit(snapshotter, facts("root"), async (dir) => {
      await chown(dir, 12, 34);
      await chmod(dir, 0o1711);
    });
    const target = join(targets, "rootfs");
    await snapshotter.mountWritable("c", { layers: [chain], target });
    const { uid, gid, mode } = lstatSync(target);
    assert.deepEqual([uid, gid, mode & 0o7777], [12, 34, 0o1711]);
    await snapshotter.removeWritable("c", { target });
  });

  it("a writable whose mount is gone, as after a reboot, is mounted again with what was in it", async ({
    snapshotter,
    targets,
  }) => {
    const target = join(targets, "rootfs");
    await snapshotter.mountWritable("r", { layers: [], target });
    writeFileSync(join(target, "mine"), "1");
    unmount(target);
    await snapshotter.mountWritable("r", { layers: [], target });
    assert.equal(readFileSync(join(target, "mine"), "utf8"), "1");
    await snapshotter.removeWritable("r", { target });
  });

  it("mounting again changes nothing, also by a process that comes later; removing again is no error", async (subject) => {
    const { snapshotter, targets } = subject;
    const target = join(targets, "rootfs");
    await snapshotter.mountWritable("c", { layers: [], target });
    writeFileSync(join(target, "mine"), "1");
    await snapshotter.mountWritable("c", { layers: [], target });
    const later = await subject.reopen();
    await later.mountWritable("c", { layers: [], target });
    assert.equal(readFileSync(join(target, "mine"), "utf8"), "1");
    assert.deepEqual(later.writables(), ["c"]);
    assert.equal((await later.writableUsage("c")).inodes, 1);
    await later.removeWritable("c", { target });
    await snapshotter.removeWritable("c", { target });
    assert.ok(!isMountPoint(target));
    assert.deepEqual(later.writables(), []);
    await assert.rejects(later.writableUsage("c"), { code: "not-found" });
  });

  it("a writable of many layers mounts", async ({ snapshotter, targets }) => {
    const layers: Digest[] = [];
    for (let index = 0; index < 128; index += 1) {
      layers.push(
        await commit(snapshotter, facts(`layer ${index}`, layers.at(-1)), (dir) =>
          writeFile(join(dir, `file${index}`), ""),
        ),
      );
    }
    const target = join(targets, "rootfs");
    await snapshotter.mountWritable("many", { layers, target });
    assert.equal(readdirSync(target).length, 128);
    await snapshotter.removeWritable("many", { target });
  });

  it("a layer that hides all below is the lowest to be seen", async ({ snapshotter, targets }) => {
    const bottom = await commit(snapshotter, facts("hidden"), (dir) => writeFile(join(dir, "below"), ""));
    const top = await commit(snapshotter, { ...facts("hides", bottom), opaqueRoot: true }, (dir) =>
      writeFile(join(dir, "above"), ""),
    );
    const target = join(targets, "rootfs");
    await snapshotter.mountWritable("o", { layers: [bottom, top], target });
    assert.deepEqual(readdirSync(target), ["above"]);
    await snapshotter.removeWritable("o", { target });
  });

  it("removed layers are gone at once; a writable of a missing layer is refused", async ({ snapshotter, targets }) => {
    const chain = await commit(snapshotter, facts("short-lived"), (dir) => writeFile(join(dir, "x"), ""));
    const removal = snapshotter.removeLayers([chain, digestOf("never there")]);
    assert.equal(snapshotter.layer(chain), undefined);
    await removal;
    assert.deepEqual(snapshotter.layers(), []);
    const target = join(targets, "rootfs");
    await assert.rejects(snapshotter.mountWritable("m", { layers: [chain], target }), { code: "failed-precondition" });
    await snapshotter.removeWritable("m", { target });
  });

  it("a view shows its layers and takes no writes", async ({ snapshotter, targets }) => {
    const bottom = await commit(snapshotter, facts("view bottom"), async (dir) => {
      for (const file of ["gone", "kept"]) await writeFile(join(dir, file), "bottom");
    });
    const top = await commit(snapshotter, facts("view top", bottom), async (dir) =>
      mknod(join(dir, "gone"), { kind: "character", mode: 0 }),
    );
    for (const [layers, files] of [
      [[bottom, top], ["kept"]],
      [[bottom], ["gone", "kept"]],
      [[], []],
    ] as const) {
      const target = join(targets, `view${layers.length}`);
      await snapshotter.mountView("v", { layers, target });
      assert.deepEqual(readdirSync(target).toSorted(), files);
      assert.throws(() => writeFileSync(join(target, "new"), ""), { code: "EROFS" });
      unmount(target);
    }
    await snapshotter.removeWritable("v", { target: join(targets, "rootfs") });
  });

  it("for a user namespace, owners in layers are the namespace's, and layers stay what they are", async ({
    snapshotter,
    targets,
  }) => {
    const ids = { containerId: 0, hostId: 200_000, length: 65_536 };
    const chain = await commit(snapshotter, facts("mapped"), async (dir) => {
      await writeFile(join(dir, "root"), "");
      await writeFile(join(dir, "user"), "");
      await chown(join(dir, "user"), 12, 34);
    });
    const userNamespace = join(targets, "user");
    await createUserNamespace(userNamespace, { uids: ids, gids: { ...ids, hostId: 300_000 } });
    const idMap = { userNamespace, uids: ids, gids: { ...ids, hostId: 300_000 } };
    const [target, view] = [join(targets, "rootfs"), join(targets, "view")];
    const owner = (path: string): number[] => [lstatSync(path).uid, lstatSync(path).gid];
    try {
      await snapshotter.mountWritable("i", { layers: [chain], target, idMap });
      await snapshotter.mountView("i", { layers: [chain], target: view, idMap });
      for (const folder of [target, view]) {
        assert.deepEqual(owner(folder), [200_000, 300_000]);
        assert.deepEqual(owner(join(folder, "root")), [200_000, 300_000]);
        assert.deepEqual(owner(join(folder, "user")), [200_012, 300_034]);
      }
      await chown(join(target, "user"), 200_000, 300_000);
      assert.deepEqual(owner(join(snapshotter.layer(chain)?.dir ?? "", "user")), [12, 34]);
      unmount(view);
      await snapshotter.removeWritable("i", { target });
      await snapshotter.mountWritable("i", { layers: [chain], target, idMap, maxSizeBytes: 16 * mebibyte });
      assert.deepEqual(owner(target), [200_000, 300_000]);
      assert.deepEqual(owner(join(target, "user")), [200_012, 300_034]);
      await snapshotter.removeWritable("i", { target });
      assert.deepEqual(
        mountInfo().filter(({ mountPoint }) => mountPoint.endsWith("/mapped")),
        [],
      );
    } finally {
      removeNamespace(userNamespace);
    }
  });

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

  it("keys that are no plain names are refused", async ({ snapshotter, targets }) => {
    for (const key of ["", "..", "a/b", ".hidden", "a\0b"]) {
      await assert.rejects(
        snapshotter.mountWritable(key, { layers: [], target: join(targets, "t") }),
        { code: "invalid" },
        JSON.stringify(key),
      );
    }
  });
}
