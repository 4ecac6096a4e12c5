import type { TarEntry } from "../tar/tar-entry.ts";
import { encodeTarHeader, plainEntry, tarEnd, tarPadding } from "../tar/tar-header.ts";

/** Sets the sum of each block that looks like a header, as a writer would; the rest stays. */
export function mendChecksums(input: Buffer): Buffer {
  const bytes = Buffer.from(input);
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    if (bytes.toString("latin1", at + 257, at + 262) !== "ustar") continue;
    bytes.write("        ", at + 148, "latin1");
    const sum = bytes.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
    bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148, "latin1");
  }
  return bytes;
}

const member = (entry: TarEntry, body: Uint8Array | string = ""): Buffer => {
  const bytes = Buffer.from(body);
  return Buffer.concat([encodeTarHeader({ ...entry, size: bytes.length }), bytes, tarPadding(bytes.length)]);
};

/** A member of a type that no entry has: PAX and GNU extensions. */
function special(flag: string, body: string): Buffer {
  const bytes = member(plainEntry("special", 0), body);
  bytes.write(flag, 156, "latin1");
  return mendChecksums(bytes);
}

function paxRecord([key, value]: readonly [string, string]): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (`${length}${rest}`.length !== length) length += 1;
  return `${length}${rest}`;
}

const pax = (records: Readonly<Record<string, string>>): Buffer =>
  special("x", Object.entries(records).map(paxRecord).join(""));

const plain = (name: string, more: Partial<TarEntry> = {}, body = ""): Buffer =>
  member(plainEntry(name, 0, more), body);
const archive = (...members: readonly Buffer[]): Buffer => Buffer.concat([...members, tarEnd()]);

/** A header of GNU's old sparse format, with one piece. */
function oldSparse(): Buffer {
  const bytes = plain("old-sparse", {}, "data");
  bytes.write("S", 156, "latin1");
  bytes.write("00000000100\0" + "00000000004\0", 386, "latin1");
  bytes.write("00000001000\0", 483, "latin1");
  return mendChecksums(bytes);
}

/** Archives that use every part of the reader, and layers with every kind of whiteout. */
export const tarCorpus: readonly Buffer[] = [
  archive(plain("a", {}, "content"), plain("b/", { type: "directory", mode: 0o755 }), plain("b/c", { mtime: -5 }, "x")),
  archive(
    plain("link", { type: "symlink", linkName: "a" }),
    plain("a", {}, "1"),
    plain("hard", { type: "link", linkName: "a" }),
    plain("null", { type: "char", deviceMajor: 1, deviceMinor: 3 }),
    plain("pipe", { type: "fifo" }),
  ),
  archive(
    plain("d/", { type: "directory" }),
    plain("d/.wh.x"),
    plain("d/y", {}, "y"),
    plain("d/.wh..wh..opq"),
    plain(".wh..wh.plnk"),
    plain(".wh.z"),
    plain("z/deep/.wh.er"),
  ),
  archive(
    pax({ path: "from/pax", mtime: "1.5", "SCHILY.xattr.user.a": "b", uid: "7", gid: "3000000" }),
    plain("short", {}, "p"),
  ),
  archive(pax({ "GNU.sparse.map": "0,1,100,3", "GNU.sparse.size": "200" }), plain("sparse01", {}, "abcd")),
  archive(
    pax({ "GNU.sparse.major": "1", "GNU.sparse.realsize": "200", "GNU.sparse.name": "s" }),
    plain("sparse1", {}, `2\n0\n1\n100\n3\n${"\0".repeat(500)}abcd`),
  ),
  archive(
    pax({ "GNU.sparse.size": "90", "GNU.sparse.offset": "5", "GNU.sparse.numbytes": "4" }),
    plain("sparse00", {}, "abcd"),
  ),
  archive(oldSparse()),
  archive(
    pax({ mtime: "-1.25", linkpath: "to/pax", "SCHILY.xattr.trusted.overlay.opaque": "y" }),
    plain("l", { type: "symlink" }),
  ),
  archive(
    special("L", `${"l".repeat(150)}\0`),
    special("K", `${"k".repeat(150)}\0`),
    plain("x", { type: "symlink", linkName: "y" }),
  ),
  archive(
    plain("./", { type: "directory", mode: 0o711 }),
    plain("real/", { type: "directory" }),
    plain("by", { type: "symlink", linkName: "/real/." }),
    plain("by/file", {}, "through a link"),
    plain("up", { type: "symlink", linkName: "../../real/../real" }),
    plain("up/other", { type: "link", linkName: "by/file" }),
    plain("loop", { type: "symlink", linkName: "loop" }),
    plain("loop/x"),
  ),
  archive(
    plain("a/b/", { type: "directory" }),
    plain("a/.wh.c"),
    plain("a", {}, "a file now"),
    plain("a", { type: "directory" }),
    plain("a/.wh.d"),
    plain("a/d/", { type: "directory" }),
    plain("a/d", { type: "fifo" }),
    plain("a/d", {}, "and a file"),
  ),
  archive(plain("a/../../out", {}, "x")),
  archive(pax({ "GNU.sparse.map": "0,1,100", "GNU.sparse.size": "200" }), plain("odd-map", {}, "abcd")),
  archive(special("g", "11 comment=\n"), plain("after-global", {}, "x")),
];

/** What the reader looks for. */
export const tarWords: readonly Buffer[] = [
  "../",
  "/",
  "./",
  "a/",
  "b",
  ".wh.",
  ".wh..wh..opq",
  ".wh..wh.",
  "GNU.sparse.major",
  "GNU.sparse.size",
  "GNU.sparse.map",
  "SCHILY.xattr.security.capability",
  "SCHILY.xattr.trusted.overlay.opaque",
  "path",
  "linkpath",
  "size",
  "mtime",
  "ustar\0",
  "00000000010\0",
  "77777777777\0",
  "\x80\0\0\0\0\0\0\x01\0\0\0\0",
  "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe",
].map((text) => Buffer.from(text, "latin1"));
