import { type BigIntStats, closeSync, openSync, readlinkSync, readSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { lgetxattr, llistxattr } from "@tripod/linux";
import type { ByteString } from "../tar/tar-entry.ts";
import { bytesOf, printable, toByteString } from "../unpack/entry-path.ts";
import { inTree, type TreeItem, walkTree } from "./walk-tree.ts";

export interface CompareOptions {
  /** As many differences are enough. */
  readonly limit?: number;
  /** Extended attributes that count; all unless told. */
  readonly xattr?: (name: string) => boolean;
  readonly signal?: AbortSignal;
}

/** So many files are compared before others get a turn. */
const turn = 64;

/** A difference between two trees. */
export interface TreeChange {
  /** From the trees' root, "/", on; what is no UTF-8 is shown as U+FFFD. */
  readonly path: string;
  readonly kind: "added" | "changed" | "removed";
  /** Of something changed: what, in words. */
  readonly what?: string;
}

/**
 * How the tree below `found` differs from the one below `expected`: names, kinds, modes, owners, times of change, device numbers, which
 * names are one file, targets of links, extended attributes, contents. At most a turn's worth more than `limit`. Blocks its thread for most
 * of the time: for workers and tests.
 */
export async function treeChanges(
  expected: string,
  found: string,
  options: CompareOptions = {},
): Promise<TreeChange[]> {
  const { limit = Number.POSITIVE_INFINITY, signal } = options;
  const [ours, others] = [toByteString(expected), toByteString(found)];
  const changes: TreeChange[] = [];
  const links = new Map<bigint, TreeItem>();
  const theirs = walkTree(others);
  let their = next(theirs);
  let count = 0;
  const tell = (path: ByteString, kind: TreeChange["kind"], what?: string): void => {
    changes.push({ path: `/${bytesOf(path).toString()}`, kind, ...(what !== undefined && { what }) });
  };
  for (const own of walkTree(ours)) {
    count += 1;
    if (count % turn === 0) await setImmediate();
    signal?.throwIfAborted();
    for (; their !== undefined && isBefore(their.path, own.path); their = next(theirs)) tell(their.path, "added");
    if (changes.length >= limit) return changes;
    if (their?.path !== own.path) {
      tell(own.path, "removed");
      continue;
    }
    const what =
      difference(own, their, links) ??
      differenceOnDisk(inTree(ours, own.path), inTree(others, own.path), { own, their, options }) ??
      timeDifference(own.stat, their.stat);
    if (what !== undefined) tell(own.path, "changed", what);
    their = next(theirs);
  }
  for (; their !== undefined && changes.length < limit; their = next(theirs)) tell(their.path, "added");
  return changes;
}

/** Without what went with a folder that is told as removed. */
export function withoutBelowRemoved(changes: readonly TreeChange[]): TreeChange[] {
  let gone: string | undefined;
  return changes.filter(({ path, kind }) => {
    if (kind !== "removed") return true;
    if (gone !== undefined && path.startsWith(`${gone}/`)) return false;
    gone = path;
    return true;
  });
}

/** The same, a line each; 20 unless told. */
export async function compareTrees(expected: string, found: string, options: CompareOptions = {}): Promise<string[]> {
  const changes = await treeChanges(expected, found, { limit: 20, ...options });
  const words = { added: "should not be there", removed: "is missing", changed: "is another" };
  const name = (path: string): string => JSON.stringify((path === "/" ? path : path.slice(1)).slice(0, 200));
  return changes.map(({ path, kind, what }) => `${name(path)}: ${what ?? words[kind]}`);
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

/** Said last: it goes along with every other. */
const timeDifference = (a: BigIntStats, b: BigIntStats): string | undefined =>
  a.mtimeNs === b.mtimeNs ? undefined : `changed at ${b.mtimeNs} ns instead of ${a.mtimeNs}`;

const octal = (mode: bigint): string => `0${mode.toString(8)}`;

/** What lstat tells. `links`: by the inode of an expected file with several names, what stands at the first of them in the found tree. */
function difference(own: TreeItem, their: TreeItem, links: Map<bigint, TreeItem>): string | undefined {
  const [a, b] = [own.stat, their.stat];
  if (a.mode !== b.mode) return `mode ${octal(b.mode)} instead of ${octal(a.mode)}`;
  if (a.uid !== b.uid || a.gid !== b.gid) return `owner ${b.uid}:${b.gid} instead of ${a.uid}:${a.gid}`;
  if (a.rdev !== b.rdev) return `device ${b.rdev} instead of ${a.rdev}`;
  if (a.isDirectory()) return undefined; // size and links of folders are the file system's own
  if (a.size !== b.size) return `${b.size} bytes instead of ${a.size}`;
  if (a.nlink !== b.nlink) return `${b.nlink} links instead of ${a.nlink}`;
  if (a.nlink === 1n) return undefined;
  const first = links.get(a.ino);
  if (first === undefined) links.set(a.ino, their);
  return first === undefined || first.stat.ino === b.ino ? undefined : `is not one file with ${printable(first.path)}`;
}

/** The same file, by two ways and untouched: two overlays show what they have not copied under the number that it has below them. */
const isSame = (a: BigIntStats, b: BigIntStats): boolean => a.ino === b.ino && a.ctimeNs === b.ctimeNs;

function differenceOnDisk(
  own: Buffer,
  their: Buffer,
  of: { readonly own: TreeItem; readonly their: TreeItem; readonly options: CompareOptions },
): string | undefined {
  const { stat } = of.own;
  const { xattr = () => true } = of.options;
  if (stat.isFile() && isSame(stat, of.their.stat)) return undefined;
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
