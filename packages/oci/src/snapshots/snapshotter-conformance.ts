import assert from "node:assert/strict";
import { appendFileSync, existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { chmod, chown, link, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  createUserNamespace,
  isMountPoint,
  lgetxattr,
  lsetxattr,
  lutimesNs,
  mknod,
  mountTmpfs,
  removeNamespace,
  unmount,
} from "@tripod/linux";
import { type Digest, digestOf } from "../digest.ts";
import { commit, type ConformanceSubject, facts, mebibyte, registrar } from "./conformance-subject.ts";
import { idMapConformance } from "./id-map-conformance.ts";
import { limitConformance } from "./limit-conformance.ts";

export type { ConformanceSubject };
export { idMapConformance };

/** The tests that every Snapshotter must pass; registers them with node:test. Needs root. */
export function snapshotterConformance(name: string, make: () => Promise<ConformanceSubject>): void {
  const it = registrar(name, make);
  idMapConformance(name, make);
  limitConformance(name, make);

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

  it("the root of a writable has the top layer's owner, mode and time", async ({ snapshotter, targets }) => {
    const chain = await commit(snapshotter, facts("root"), async (dir) => {
      await chown(dir, 12, 34);
      await chmod(dir, 0o1711);
      lutimesNs(dir, { modifiedAtNs: 1_000_000_000_000_000_001n });
    });
    const target = join(targets, "rootfs");
    await snapshotter.mountWritable("c", { layers: [chain], target });
    const { uid, gid, mode, mtimeNs } = lstatSync(target, { bigint: true });
    assert.deepEqual([uid, gid, mode & 0o7777n, mtimeNs], [12n, 34n, 0o1711n, 1_000_000_000_000_000_001n]);
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
    for (let index = 0; index < 128; index += 1) layers.push(digestOf(`layer ${index}`));
    await Promise.all(
      layers.map((_, index) =>
        commit(snapshotter, facts(`layer ${index}`, layers[index - 1]), (dir) =>
          writeFile(join(dir, `file${index}`), ""),
        ),
      ),
    );
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

  it("what layers hold is whole: links, special files, attributes, times, names of any bytes", async ({
    snapshotter,
    targets,
  }) => {
    const odd = Buffer.from([0x66, 0xff, 0x2c, 0x3a]);
    const inside = (dir: string): Buffer => Buffer.concat([Buffer.from(`${dir}/`), odd]);
    const bottom = await commit(snapshotter, facts("whole"), async (dir) => {
      await mkdir(join(dir, "folder"));
      await writeFile(join(dir, "folder/one"), "linked");
      await link(join(dir, "folder/one"), join(dir, "two"));
      await symlink("folder/one", join(dir, "symlink"));
      await chown(join(dir, "two"), 1, 2);
      await chmod(join(dir, "two"), 0o4755);
      lsetxattr(join(dir, "two"), "user.colour", { value: Buffer.from("red") });
      lutimesNs(join(dir, "two"), { modifiedAtNs: 1_234_567_890_123_456_789n });
      await writeFile(inside(dir), "odd");
      mknod(join(dir, "pipe"), { kind: "fifo", mode: 0o640 });
      mknod(join(dir, "null"), { kind: "character", mode: 0o666, major: 1, minor: 3 });
      await writeFile(join(dir, "becomes a folder"), "");
      await mkdir(join(dir, "becomes a file"));
      await writeFile(join(dir, "becomes a file/x"), "");
    });
    const top = await commit(snapshotter, facts("whole top", bottom), async (dir) => {
      await mkdir(join(dir, "becomes a folder"));
      await writeFile(join(dir, "becomes a file"), "now");
      await mkdir(join(dir, "folder"), { mode: 0o700 });
      await writeFile(join(dir, "folder/three"), "");
    });
    const [target, view] = [join(targets, "rootfs"), join(targets, "view")];
    await snapshotter.mountWritable("w", { layers: [bottom, top], target });
    await snapshotter.mountView("w", { layers: [bottom, top], target: view });
    for (const root of [target, view]) {
      const stat = lstatSync(join(root, "two"), { bigint: true });
      assert.deepEqual([stat.uid, stat.gid, stat.mode & 0o7777n], [1n, 2n, 0o4755n]);
      assert.equal(stat.mtimeNs, 1_234_567_890_123_456_789n);
      assert.equal(stat.ino, lstatSync(join(root, "folder/one"), { bigint: true }).ino);
      assert.equal(lgetxattr(join(root, "two"), "user.colour")?.toString(), "red");
      assert.equal(readlinkSync(join(root, "symlink")), "folder/one");
      assert.equal(readFileSync(inside(root), "utf8"), "odd");
      assert.ok(lstatSync(join(root, "pipe")).isFIFO());
      assert.equal(lstatSync(join(root, "null")).rdev, lstatSync("/dev/null").rdev);
      assert.ok(lstatSync(join(root, "becomes a folder")).isDirectory());
      assert.equal(readFileSync(join(root, "becomes a file"), "utf8"), "now");
      assert.equal(lstatSync(join(root, "folder")).mode & 0o777, 0o700);
      assert.deepEqual(readdirSync(join(root, "folder")).toSorted(), ["one", "three"]);
    }
    unmount(view);
    await snapshotter.removeWritable("w", { target });
  });

  it("usage is what was written, whatever the layers hold, and what layers take is counted once", async ({
    snapshotter,
    targets,
  }) => {
    const chain = await commit(snapshotter, { ...facts("used"), bytes: 3 * mebibyte, inodes: 4 }, async (dir) => {
      for (const file of ["kept", "changed", "gone"]) await writeFile(join(dir, file), Buffer.alloc(mebibyte, 1));
    });
    const target = join(targets, "rootfs");
    await snapshotter.mountWritable("u", { layers: [chain], target });
    const { bytes, inodes, copied } = await snapshotter.writableUsage("u");
    assert.deepEqual([bytes, inodes], [0, 0]);
    assert.ok(copied.bytes === 0 || copied.bytes >= 3 * mebibyte, String(copied.bytes));
    writeFileSync(join(target, "new"), Buffer.alloc(2 * mebibyte, 1));
    appendFileSync(join(target, "changed"), "x");
    await rm(join(target, "gone"));
    const after = await snapshotter.writableUsage("u");
    assert.ok(after.bytes >= 3 * mebibyte && after.bytes < 4 * mebibyte, `${after.bytes} bytes are said to be written`);
    assert.ok(after.inodes >= 2 && after.inodes <= 3, `${after.inodes} inodes`); // a whiteout may be one
    const layers = snapshotter.layersUsage();
    assert.ok(layers.bytes >= 3 * mebibyte && layers.inodes >= 4);
    await snapshotter.removeWritable("u", { target });
    await snapshotter.removeLayers([chain]);
    assert.deepEqual(snapshotter.layersUsage(), { bytes: 0, inodes: 0 });
  });

  it("the folder of a layer may be a mount", async ({ snapshotter, targets }) => {
    const bottom = await commit(snapshotter, facts("below"), (dir) => writeFile(join(dir, "below"), ""));
    const lazy = await commit(snapshotter, facts("mounted", bottom), async () => {});
    const dir = snapshotter.layer(lazy)?.dir ?? "";
    mountTmpfs(dir);
    try {
      writeFileSync(join(dir, "file"), "from the mount");
      const [target, view] = [join(targets, "rootfs"), join(targets, "view")];
      await snapshotter.mountWritable("m", { layers: [bottom, lazy], target });
      await snapshotter.mountView("m", { layers: [bottom, lazy], target: view });
      for (const root of [target, view]) {
        assert.deepEqual(readdirSync(root).toSorted(), ["below", "file"]);
        assert.equal(readFileSync(join(root, "file"), "utf8"), "from the mount");
      }
      unmount(view);
      await snapshotter.removeWritable("m", { target });
      const ids = { containerId: 0, hostId: 200_000, length: 65_536 };
      const userNamespace = join(targets, "user");
      await createUserNamespace(userNamespace, { uids: ids, gids: ids });
      try {
        await snapshotter.mountWritable("m", {
          layers: [bottom, lazy],
          target,
          idMap: { userNamespace, uids: ids, gids: ids },
        });
        for (const file of ["below", "file"]) assert.equal(lstatSync(join(target, file)).uid, 200_000, file);
        await snapshotter.removeWritable("m", { target });
      } finally {
        removeNamespace(userNamespace);
      }
    } finally {
      unmount(dir);
    }
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
