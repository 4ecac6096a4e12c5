import { type BigIntStats, closeSync, openSync, readlinkSync, readSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { lgetxattr, llistxattr } from "@tripod/linux";
import type { ByteString } from "../tar/tar-entry.ts";
import { printable, toByteString } from "../unpack/entry-path.ts";
import { inTree, type TreeItem, walkTree } from "./walk-tree.ts";

export interface CompareOptions {
  /** As many differences are enough; 20 unless told. */
  readonly limit?: number;
  /** Extended attributes that count; all unless told. */
  readonly xattr?: (name: string) => boolean;
  readonly signal?: AbortSignal;
}

/** So many files are compared before others get a turn. */
const turn = 64;

/**
 * How the tree below `found` differs from the one below `expected`, a line each: names, kinds, modes, owners, times of change, device
 * numbers, which names are one file, targets of links, extended attributes, contents. Blocks its thread for most of the time: for workers
 * and tests.
 */
export async function compareTrees(expected: string, found: string, options: CompareOptions = {}): Promise<string[]> {
  const { limit = 20, signal } = options;
  const [ours, others] = [toByteString(expected), toByteString(found)];
  const differences: string[] = [];
  const links = new Map<bigint, TreeItem>();
  const theirs = walkTree(others);
  let their = next(theirs);
  let count = 0;
  for (const own of walkTree(ours)) {
    count += 1;
    if (count % turn === 0) await setImmediate();
    signal?.throwIfAborted();
    for (; their !== undefined && isBefore(their.path, own.path); their = next(theirs)) {
      differences.push(`${printable(their.path)}: should not be there`);
    }
    if (differences.length >= limit) return differences;
    if (their?.path !== own.path) {
      differences.push(`${printable(own.path)}: is missing`);
      continue;
    }
    const what =
      difference(own, their, links) ??
      differenceOnDisk(inTree(ours, own.path), inTree(others, own.path), own.stat, options);
    if (what !== undefined) differences.push(`${printable(own.path === "" ? "/" : own.path)}: ${what}`);
    their = next(theirs);
  }
  for (; their !== undefined && differences.length < limit; their = next(theirs)) {
    differences.push(`${printable(their.path)}: should not be there`);
  }
  return differences;
}

function next(items: Generator<TreeItem>): TreeItem | undefined {
  const { done, value } = items.next();
  return done === true ? undefined : value;
}

/** Whether a walk comes to `a` before `b`: names are compared folder by folder. */
function isBefore(a: ByteString, b: ByteString): boolean {
  const [left, right] = [a.split("/"), b.split("/")];
  for (const [index, part] of left.entries()) {
    const other = right[index];
    if (other === undefined) return false;
    if (part !== other) return part < other;
  }
  return left.length < right.length;
}

const octal = (mode: bigint): string => `0${mode.toString(8)}`;

/** What lstat tells. `links`: by the inode of an expected file with several names, what stands at the first of them in the found tree. */
function difference(own: TreeItem, their: TreeItem, links: Map<bigint, TreeItem>): string | undefined {
  const [a, b] = [own.stat, their.stat];
  if (a.mode !== b.mode) return `mode ${octal(b.mode)} instead of ${octal(a.mode)}`;
  if (a.uid !== b.uid || a.gid !== b.gid) return `owner ${b.uid}:${b.gid} instead of ${a.uid}:${a.gid}`;
  if (a.rdev !== b.rdev) return `device ${b.rdev} instead of ${a.rdev}`;
  if (a.mtimeNs !== b.mtimeNs) return `changed at ${b.mtimeNs} ns instead of ${a.mtimeNs}`;
  if (a.isDirectory()) return undefined; // size and links of folders are the file system's own
  if (a.size !== b.size) return `${b.size} bytes instead of ${a.size}`;
  if (a.nlink !== b.nlink) return `${b.nlink} links instead of ${a.nlink}`;
  if (a.nlink === 1n) return undefined;
  const first = links.get(a.ino);
  if (first === undefined) links.set(a.ino, their);
  return first === undefined || first.stat.ino === b.ino ? undefined : `is not one file with ${printable(first.path)}`;
}

function differenceOnDisk(
  own: Buffer,
  their: Buffer,
  stat: BigIntStats,
  { xattr = () => true }: CompareOptions,
): string | undefined {
  const [a, b] = [own, their].map((path) => llistxattr(path).filter(xattr).toSorted());
  if (a?.join() !== b?.join()) return `attributes ${b?.join(" ") || "none"} instead of ${a?.join(" ") || "none"}`;
  for (const name of a ?? []) {
    if (lgetxattr(own, name)?.equals(lgetxattr(their, name) ?? Buffer.alloc(0)) !== true)
      return `another attribute ${name}`;
  }
  if (stat.isSymbolicLink()) {
    const [to, instead] = [own, their].map((path) => readlinkSync(path, { encoding: "buffer" }).toString("latin1"));
    return to === instead ? undefined : `link to ${printable(instead ?? "")} instead of ${printable(to ?? "")}`;
  }
  if (stat.isFile() && stat.size > 0n && !sameContent(own, their)) return "another content";
  return undefined;
}

const pieceBytes = 256 * 1024;

function sameContent(own: Buffer, their: Buffer): boolean {
  const files = [own, their].map((path) => openSync(path, "r"));
  try {
    const pieces = files.map(() => Buffer.allocUnsafe(pieceBytes));
    for (;;) {
      const [a, b] = files.map((file, index) => {
        const piece = pieces[index] ?? Buffer.alloc(0);
        return piece.subarray(0, readSync(file, piece, 0, piece.length, null));
      });
      if (a === undefined || b === undefined || !a.equals(b)) return false;
      if (a.length === 0) return true;
    }
  } finally {
    for (const file of files) closeSync(file);
  }
}
