import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { runCommand } from "@tripod/base";
import { lgetxattr, lutimesNs } from "@tripod/linux";
import { tempRoot } from "@tripod/testing";
import type { Digest } from "../digest.ts";
import { compareTrees } from "../snapshots/compare-trees.ts";
import { measureTree } from "../snapshots/measure-tree.ts";
import type { TarEntry } from "../tar/tar-entry.ts";
import { encodeTarHeader, plainEntry, tarEnd, tarPadding } from "../tar/tar-header.ts";
import type { LayerContents } from "./layer-writer.ts";
import { unpackLayer } from "./unpack-layer.ts";

type Member = Partial<TarEntry> & { readonly name: string; readonly body?: string };

const tarOf = (members: readonly Member[]): Buffer =>
  Buffer.concat([
    ...members.flatMap(({ name, body = "", ...more }) => {
      const bytes = Buffer.from(body);
      const entry = plainEntry("", bytes.length, { name: Buffer.from(name).toString("latin1"), ...more });
      return [encodeTarHeader(entry), bytes, tarPadding(bytes.length)];
    }),
    tarEnd(),
  ]);

const small = { unpackedBytes: 64 * 1024 * 1024, entries: 1000 };

async function unpack(
  bytes: Buffer,
  root: string,
  options: { readonly diffId?: Digest; readonly limits?: typeof small } = {},
): Promise<LayerContents> {
  const blob = join(root, "blob");
  const dir = join(root, "jail/fs");
  mkdirSync(dir, { recursive: true });
  writeFileSync(blob, bytes);
  const contents = await unpackLayer(
    { blob, dir, diffId: options.diffId, limits: options.limits ?? small },
    new AbortController().signal,
  );
  assert.deepEqual(measureTree(dir), { bytes: contents.bytes, inodes: contents.inodes }, "what is counted is there");
  return contents;
}

const directory = (name: string, more: Partial<TarEntry> = {}): Member => ({
  name,
  type: "directory",
  mode: 0o755,
  ...more,
});
const link = (name: string, linkName: string): Member => ({ name, type: "symlink", linkName });

for (const { why, members, says } of [
  { why: "climbs out by ..", members: [{ name: "../evil", body: "x" }], says: /leads out of the root/ },
  { why: "climbs out from within", members: [{ name: "a/../../evil", body: "x" }], says: /leads out of the root/ },
  {
    why: "hard link outside",
    members: [{ name: "l", type: "link", linkName: "../outside" }],
    says: /leads out of the root/,
  },
  {
    why: "hard link to a host file by absolute name",
    members: [{ name: "l", type: "link", linkName: "/etc/passwd" }],
    says: /not a file of this layer/,
  },
  {
    why: "hard link to a folder",
    members: [directory("d/"), { name: "l", type: "link", linkName: "d" }],
    says: /not a file of this layer/,
  },
  {
    why: "hard link to a whiteout",
    members: [{ name: ".wh.w" }, { name: "l", type: "link", linkName: "w" }],
    says: /not a file of this layer/,
  },
  { why: "whiteout of the root", members: [{ name: ".wh." }], says: /whiteout of nothing/ },
  { why: "whiteout of the parent", members: [{ name: "d/.wh..." }], says: /whiteout of nothing/ },
  { why: "whiteout of the folder itself", members: [{ name: "d/.wh.." }], says: /whiteout of nothing/ },
  {
    why: "the root becomes a file",
    members: [{ name: "./", type: "symlink", linkName: "/etc" }],
    says: /replace the root/,
  },
  {
    why: "a file is used as a folder",
    members: [
      { name: "f", body: "x" },
      { name: "f/g", body: "x" },
    ],
    says: /not a folder/,
  },
  {
    why: "links in a circle",
    members: [link("a", "b"), link("b", "a"), { name: "a/x", body: "" }],
    says: /too many symbolic links/,
  },
  { why: "a sparse bomb", members: [{ name: "f", size: 1, body: "x" }], says: /files of more than/ },
  {
    why: "too many files",
    members: Array.from({ length: 20 }, (_, i) => ({ name: `f${i}` })),
    says: /more than 10 files/,
  },
  {
    why: "a name longer than names can be",
    members: [{ name: "n".repeat(256) }],
    says: /this file system can hold: ENAMETOOLONG/,
  },
  {
    why: "a sparse map that does not end",
    members: [
      { name: "pax", body: "22 GNU.sparse.major=1\n30 GNU.sparse.realsize=200000\n" },
      { name: "f", body: "9\n0\n" },
    ],
    says: /archive ends in a sparse map/,
  },
  {
    why: "a whiteout is used as a folder",
    members: [{ name: "d/.wh.x/file", body: "x" }],
    says: /a whiteout is no folder/,
  },
  { why: "a root whose owner is beyond all users", members: [directory("./", { uid: 2 ** 33 })], says: /owner/ },
  { why: "an owner beyond all users", members: [{ name: "f", uid: 0xffff_ffff }], says: /owner/ },
] as readonly { why: string; members: readonly Member[]; says: RegExp }[]) {
  test(`a layer is refused: ${why}`, async (t) => {
    await using root = tempRoot();
    writeFileSync(join(root.path, "outside"), "untouched");
    if (why === "a sparse bomb") {
      // GNU tar writes the map of a file of 1 GiB with one byte of data in a few blocks.
      const file = join(root.path, "big");
      await runCommand("truncate", ["-s", "1G", file]);
      await runCommand("tar", ["-S", "-C", root.path, "-cf", join(root.path, "s.tar"), "big"]);
      await assert.rejects(unpack(readFileSync(join(root.path, "s.tar")), root.path), says);
      return;
    }
    if (why === "a sparse map that does not end") {
      const tar = tarOf(members);
      tar.write("x", 156, "latin1"); // the first member is a PAX header
      const sum = tar.subarray(0, 512).reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
      tar.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
      await assert.rejects(unpack(tar.subarray(0, 4 * 512), root.path), says);
      return;
    }
    const limits = t.name.includes("too many files") ? { unpackedBytes: 1e6, entries: 10 } : small;
    await assert.rejects(unpack(tarOf(members), root.path, { limits }), says);
    assert.equal(readFileSync(join(root.path, "outside"), "utf8"), "untouched");
    assert.deepEqual(readdirSync(root.path).toSorted(), ["blob", "jail", "outside"]);
    assert.deepEqual(readdirSync(join(root.path, "jail")), ["fs"]);
  });
}

test("names through symbolic links stay inside, whatever the links say", async () => {
  await using root = tempRoot();
  mkdirSync(join(root.path, "victim"));
  await unpack(
    tarOf([
      link("abs", join(root.path, "victim")),
      { name: "abs/a", body: "1" },
      link("up", "../../../../../../.."),
      { name: "up/b", body: "2" },
      link("out", "../../victim"),
      { name: "out", body: "3" },
      { name: "/abs2/c", body: "4" },
      directory("deep/x/"),
      link("deep/x/l", "../../etc"),
      { name: "deep/x/l/passwd", body: "5" },
    ]),
    root.path,
  );
  const fs = join(root.path, "jail/fs");
  assert.deepEqual(readdirSync(join(root.path, "victim")), []);
  assert.equal(readFileSync(join(fs, root.path, "victim/a"), "utf8"), "1");
  assert.equal(readFileSync(join(fs, "b"), "utf8"), "2");
  assert.ok(lstatSync(join(fs, "out")).isFile());
  assert.equal(readFileSync(join(fs, "abs2/c"), "utf8"), "4");
  assert.equal(readFileSync(join(fs, "etc/passwd"), "utf8"), "5");
});

test("everything that a layer can hold arrives: owner, modes, times, attributes, links, devices, whiteouts", async () => {
  await using root = tempRoot();
  const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");
  const long = `${"d".repeat(90)}/${"e".repeat(90)}/${"f".repeat(120)}`;
  const contents = await unpack(
    tarOf([
      directory("./", { mode: 0o711, uid: 5 }),
      { name: "suid", body: "#!", mode: 0o6755, uid: 1000, gid: 2000, mtime: 1_000_000_000 },
      {
        name: "cap",
        body: "x",
        xattrs: new Map([
          ["security.capability", capability],
          ["user.note", Buffer.from("ä")],
          ["trusted.overlay.redirect", Buffer.from("/etc")],
        ]),
      },
      directory("t/", { mode: 0o1777, mtime: 86_400 }),
      { name: "t/file", body: "y" },
      { name: "hard", type: "link", linkName: "suid" },
      link("soft", "/nowhere/at/all"),
      { name: "before", mtime: -86_400 },
      { name: "null", type: "char", mode: 0o666, deviceMajor: 1, deviceMinor: 3 },
      { name: "loop", type: "block", mode: 0o660, deviceMajor: 7, deviceMinor: 300 },
      { name: "pipe", type: "fifo", mode: 0o600 },
      { name: "etc/.wh.gone", mtime: 5 },
      { name: "opaque/.wh..wh..opq" },
      directory(".wh..wh.plnk/"),
      { name: ".wh..wh.plnk/12.34", body: "aufs" },
      { name: long, body: "long" },
      { name: "big-owner", uid: 3_000_000, gid: 4_000_000_000 },
      { name: "ünï", body: "utf8" },
    ]),
    root.path,
  );
  const fs = join(root.path, "jail/fs");
  const at = (name: string) => lstatSync(join(fs, name));
  assert.deepEqual([at(".").mode & 0o7777, at(".").uid], [0o711, 5]);
  assert.deepEqual(
    [at("suid").mode & 0o7777, at("suid").uid, at("suid").gid, at("suid").mtimeMs],
    [0o6755, 1000, 2000, 1e12],
  );
  assert.deepEqual(lgetxattr(join(fs, "cap"), "security.capability"), capability);
  assert.deepEqual(lgetxattr(join(fs, "cap"), "user.note"), Buffer.from("ä"));
  assert.equal(lgetxattr(join(fs, "cap"), "trusted.overlay.redirect"), undefined);
  assert.deepEqual([at("t").mode & 0o7777, at("t").mtimeMs], [0o1777, 86_400_000]);
  assert.equal(at("before").mtimeMs, -86_400_000);
  assert.equal(at("hard").ino, at("suid").ino);
  assert.equal(readlinkSync(join(fs, "soft")), "/nowhere/at/all");
  assert.deepEqual([at("null").isCharacterDevice(), at("null").rdev, at("null").mode & 0o777], [true, 0x103, 0o666]);
  assert.deepEqual(
    [at("loop").isBlockDevice(), at("loop").rdev],
    [true, (7 << 8) | (300 & 0xff) | ((300 & ~0xff) << 12)],
  );
  assert.ok(at("pipe").isFIFO());
  assert.deepEqual([at("etc/gone").isCharacterDevice(), at("etc/gone").rdev], [true, 0]);
  assert.equal(at("etc/gone").mtimeMs, 5000, "nothing of a layer depends on when it was unpacked");
  assert.deepEqual(lgetxattr(join(fs, "opaque"), "trusted.overlay.opaque"), Buffer.from("y"));
  assert.equal(readFileSync(join(fs, long), "utf8"), "long");
  assert.deepEqual([at("big-owner").uid, at("big-owner").gid], [3_000_000, 4_000_000_000]);
  assert.equal(readFileSync(join(fs, "ünï"), "utf8"), "utf8");
  assert.ok(!readdirSync(fs).some((name) => name.startsWith(".wh.")));
  assert.deepEqual(contents.implied.toSorted(), [
    "d".repeat(90),
    `${"d".repeat(90)}/${"e".repeat(90)}`,
    "etc",
    "opaque",
  ]);
  assert.equal(contents.opaqueRoot, false);
});

test("whiteouts hide what is below and spare what the same layer brings, in any order", async () => {
  await using root = tempRoot();
  await unpack(
    tarOf([
      { name: ".wh.a" },
      directory("a/"),
      { name: "a/new" },
      directory("b/"),
      { name: "b/new" },
      { name: ".wh.b" },
      { name: ".wh.c" },
      { name: "c", body: "file" },
      { name: "d", body: "file" },
      { name: ".wh.d" },
      { name: ".wh.e" },
      { name: "e/f/g" },
    ]),
    root.path,
  );
  const fs = join(root.path, "jail/fs");
  for (const name of ["a", "b", "e"]) {
    assert.ok(lstatSync(join(fs, name)).isDirectory());
    assert.deepEqual(lgetxattr(join(fs, name), "trusted.overlay.opaque"), Buffer.from("y"), name);
  }
  for (const name of ["c", "d"]) assert.equal(readFileSync(join(fs, name), "utf8"), "file");
});

test("whiteouts in what this layer has made a file or a link to one are no error, as umoci writes them", async () => {
  await using root = tempRoot();
  await unpack(
    tarOf([
      directory("d/"),
      { name: "d/file", body: "was a folder" },
      { name: "d/file/.wh.gone" },
      { name: "d/file/.wh..wh..opq" },
      link("d/link", "file"),
      { name: "d/link/.wh.gone" },
      { name: "d/link/deeper/.wh.gone" },
    ]),
    root.path,
  );
  const fs = join(root.path, "jail/fs/d");
  assert.deepEqual(readdirSync(fs), ["file", "link"]);
  assert.equal(readFileSync(join(fs, "file"), "utf8"), "was a folder");
});

test("a later member replaces an earlier one of the same name, folders with all they hold", async () => {
  await using root = tempRoot();
  const contents = await unpack(
    tarOf([
      { name: "x/y/z", body: "1" },
      { name: "x", body: "now a file" },
      { name: "f", body: "1" },
      { name: "f", body: "22" },
      directory("g/", { mode: 0o700 }),
      { name: "g/kept" },
      directory("g/", { mode: 0o755 }),
    ]),
    root.path,
  );
  const fs = join(root.path, "jail/fs");
  assert.equal(readFileSync(join(fs, "x"), "utf8"), "now a file");
  assert.equal(readFileSync(join(fs, "f"), "utf8"), "22");
  assert.deepEqual(readdirSync(join(fs, "g")), ["kept"]);
  assert.equal(statSync(join(fs, "g")).mode & 0o777, 0o755);
  assert.deepEqual(contents.implied, [""]);
});

test("gzip in several members, zstd in several frames and plain tars are told apart by their first bytes", async () => {
  const tar = tarOf([{ name: "f", body: "x".repeat(100_000) }]);
  const diffId: Digest = `sha256:${createHash("sha256").update(tar).digest("hex")}`;
  const [a, b] = [tar.subarray(0, 5000), tar.subarray(5000)];
  const skippable = Buffer.from("502a4d18040000006a756e6b", "hex");
  for (const bytes of [
    tar,
    gzipSync(tar),
    Buffer.concat([gzipSync(a), gzipSync(b)]),
    Buffer.concat([skippable, zstdCompressSync(a), zstdCompressSync(b), skippable]),
  ]) {
    await using root = tempRoot();
    await unpack(bytes, root.path, { diffId });
    assert.equal(statSync(join(root.path, "jail/fs/f")).size, 100_000);
  }
});

test("damaged and dishonest streams are refused", async () => {
  const tar = tarOf([{ name: "f", body: "x".repeat(100_000) }]);
  const badSum = Buffer.from(tar);
  badSum[0] = 0x67;
  const bomb = gzipSync(Buffer.alloc(80 * 1024 * 1024));
  const zstdBomb = zstdCompressSync(Buffer.alloc(80 * 1024 * 1024)); // some 2 KB
  for (const { bytes, says: pattern, code } of [
    { bytes: gzipSync(tar).subarray(0, 60), says: /damaged/, code: "corrupt" },
    { bytes: zstdCompressSync(tar).subarray(0, 30), says: /damaged/, code: "corrupt" },
    { bytes: tar.subarray(0, 50_000), says: /middle/, code: "invalid" },
    { bytes: badSum, says: /checksum/, code: "invalid" },
    { bytes: Buffer.from("not a tar at all".repeat(100)), says: /checksum/, code: "invalid" },
    { bytes: bomb, says: /more than 67108864 bytes/, code: "exhausted" },
    { bytes: zstdBomb, says: /more than 67108864 bytes/, code: "exhausted" },
  ]) {
    await using root = tempRoot();
    await assert.rejects(unpack(bytes, root.path), { code, message: pattern });
  }
  await using root = tempRoot();
  await assert.rejects(unpack(tar, root.path, { diffId: `sha256:${"0".repeat(64)}` }), {
    code: "corrupt",
    message: /config promises/,
  });
});

test("times are kept to the nanosecond, also before 1970", async () => {
  await using root = tempRoot();
  const source = join(root.path, "source");
  mkdirSync(join(source, "folder"), { recursive: true });
  const times = [
    0n,
    1n,
    -1n,
    -1_500_000_000n,
    -86_400_000_000_000n,
    1_234_567_890_123_456_789n,
    2n ** 32n * 1_000_000_000n,
  ];
  for (const [index, time] of times.entries()) {
    writeFileSync(join(source, `${index}`), "");
    lutimesNs(join(source, `${index}`), { modifiedAtNs: time });
  }
  symlinkSync("x", join(source, "link"));
  for (const name of ["link", "folder"]) lutimesNs(join(source, name), { modifiedAtNs: 1_000_000_000_000_000_001n });
  await runCommand("tar", ["--format=posix", "-C", source, "-cf", join(root.path, "t.tar"), "."]);
  await unpack(readFileSync(join(root.path, "t.tar")), root.path);
  assert.deepEqual(await compareTrees(source, join(root.path, "jail/fs")), []);
});

test("GNU tar's formats are read: long names, sparse files of all kinds, names that are not UTF-8", async () => {
  for (const format of [
    ["--format=gnu"],
    ["--format=posix"],
    ["--format=posix", "--sparse-version=0.0"],
    ["--format=posix", "--sparse-version=0.1"],
    ["--format=ustar"],
    ["--format=v7"],
  ]) {
    await using root = tempRoot();
    const source = join(root.path, "source");
    const name =
      format[0] === "--format=v7"
        ? "n".repeat(90)
        : format[0] === "--format=ustar"
          ? `${"p".repeat(80)}/${"n".repeat(90)}`
          : `${"p".repeat(200)}/${"n".repeat(200)}`;
    mkdirSync(join(source, name.includes("/") ? (name.split("/")[0] ?? "") : "."), { recursive: true });
    writeFileSync(join(source, name), "deep");
    symlinkSync(name.length > 100 && !/ustar|v7/.test(format[0] ?? "") ? name : "x", join(source, "link"));
    writeFileSync(Buffer.concat([Buffer.from(`${source}/`), Buffer.from([0x66, 0xff, 0xfe])]), "bytes");
    // Ten islands of data in 40 MB: more than fit one header's map.
    for (let i = 0; i < 10; i += 1) {
      await runCommand("dd", [
        `of=${join(source, "sparse")}`,
        "if=/dev/urandom",
        "bs=4096",
        "count=1",
        `seek=${i * 1000}`,
        "conv=notrunc",
      ]);
    }
    await runCommand("truncate", ["-s", "42000000", join(source, "sparse")]);
    const sparse = /posix|gnu/.test(format[0] ?? "") ? ["-S"] : [];
    await runCommand("tar", [...format, ...sparse, "-C", source, "-cf", join(root.path, "t.tar"), "."]);
    await unpack(readFileSync(join(root.path, "t.tar")), root.path);
    await runCommand("diff", ["-r", "--no-dereference", source, join(root.path, "jail/fs")]);
    if (sparse.length > 0)
      assert.ok(
        statSync(join(root.path, "jail/fs/sparse")).blocks * 512 < 1_000_000,
        `${format.join(" ")} keeps holes`,
      );
  }
});

test("an archive that ends with the data of its last file, without padding and end mark, is whole", async () => {
  await using root = tempRoot();
  await using other = tempRoot();
  const whole = tarOf([
    { name: "first", body: "one" },
    { name: "last", body: "four" },
  ]);
  await unpack(whole.subarray(0, 3 * 512 + 4), root.path);
  assert.equal(readFileSync(join(root.path, "jail/fs/last"), "utf8"), "four");
  await assert.rejects(unpack(whole.subarray(0, 3 * 512 + 3), other.path), /in the middle of a member/);
});
