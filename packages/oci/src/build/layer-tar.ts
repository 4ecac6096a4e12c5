import { createReadStream, lstatSync, readlinkSync, type Stats } from "node:fs";
import { TripodError } from "@tripod/base";
import { lgetxattr, llistxattr } from "@tripod/linux";
import { encodeTarHeader, plainEntry, tarEnd, tarPadding } from "../tar/tar-header.ts";
import type { TarEntry, TarEntryType } from "../tar/tar-entry.ts";
import type { LayerFile } from "./collect-files.ts";

/** Attributes that belong to a file's meaning; the rest (labels, ACLs of this machine) would make builds differ. */
const keptXattrs = /^(security\.capability|user\..*)$/;

const pieceBytes = 256 * 1024;

/** A member of a layer's archive. */
export interface LayerMember {
  readonly entry: TarEntry;
  /** `entry.size` bytes, of a file that has any. */
  readonly content?: AsyncIterable<Buffer>;
}

/** The files as members of an archive, sorted by name, all times `mtime` (seconds since 1970): the same files give the same members. */
export function* layerMembers(files: ReadonlyMap<string, LayerFile>, mtime: number): Generator<LayerMember> {
  const sorted = [...files].toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const seen = new Map<string, string>();
  for (const [name, file] of sorted) {
    const stat = lstatSync(file.source);
    const inode = `${stat.dev}:${stat.ino}:${file.uid}:${file.gid}:${file.mode}`;
    const first = stat.nlink > 1 && stat.isFile() ? seen.get(inode) : undefined;
    const entry = entryOf(name, file, { stat, mtime, first });
    if (entry.type === "file") seen.set(inode, name);
    yield entry.size > 0 ? { entry, content: contentOf(file.source, entry.size) } : { entry };
  }
}

/** A tar of the members. */
export async function* layerTar(members: Iterable<LayerMember>): AsyncGenerator<Buffer> {
  for (const { entry, content } of members) {
    yield encodeTarHeader(entry);
    if (content === undefined) continue;
    yield* content;
    yield tarPadding(entry.size);
  }
  yield tarEnd();
}

function typeOf(stat: Stats): TarEntryType {
  if (stat.isDirectory()) return "directory";
  if (stat.isSymbolicLink()) return "symlink";
  if (stat.isFIFO()) return "fifo";
  if (stat.isCharacterDevice()) return "char";
  return stat.isBlockDevice() ? "block" : "file";
}

function entryOf(
  name: string,
  file: LayerFile,
  { stat, mtime, first }: { readonly stat: Stats; readonly mtime: number; readonly first: string | undefined },
): TarEntry {
  const type = first === undefined ? typeOf(stat) : "link";
  const latin1 = (text: string): string => Buffer.from(text).toString("latin1");
  const device = type === "char" || type === "block";
  return plainEntry(type === "directory" ? `${name}/` : name, type === "file" ? stat.size : 0, {
    type,
    linkName:
      type === "symlink" ? readlinkSync(file.source, { encoding: "buffer" }).toString("latin1") : latin1(first ?? ""),
    mode: type === "symlink" ? 0o777 : file.mode,
    uid: file.uid,
    gid: file.gid,
    mtime,
    // The kernel's packing of device numbers as stat gives them.
    deviceMajor: device ? (stat.rdev >>> 8) & 0xfff : 0,
    deviceMinor: device ? (stat.rdev & 0xff) | ((stat.rdev >>> 12) & 0xfff00) : 0,
    xattrs: type === "link" || type === "symlink" ? new Map() : xattrsOf(file.source),
  });
}

function xattrsOf(path: string): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (const name of llistxattr(path)) {
    const value = keptXattrs.test(name) ? lgetxattr(path, name) : undefined;
    if (value !== undefined) found.set(name, value);
  }
  return found;
}

async function* contentOf(path: string, size: number): AsyncGenerator<Buffer> {
  let left = size;
  const stream = createReadStream(path, { end: size - 1, highWaterMark: pieceBytes });
  // A stream without an encoding yields Buffers.
  for await (const piece of stream as AsyncIterable<Buffer>) {
    left -= piece.length;
    yield piece;
  }
  if (left !== 0) throw new TripodError("aborted", `build image: ${path} became shorter while it was read; try again`);
}
