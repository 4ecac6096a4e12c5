import { type BigIntStats, lstatSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { DiskUsage } from "../image.ts";
import type { ByteString } from "../tar/tar-entry.ts";
import { bytesOf, toByteString } from "../unpack/entry-path.ts";
import { inodesBelow } from "./disk-usage.ts";

/** Of each inode of a tree, its number and the time of its last change, sorted by number: by that, what is written later is told from it. */
export interface TreeMarks {
  readonly marks: Buffer;
  /** What the tree takes, inodes of `shared` without their content. */
  readonly usage: DiskUsage;
}

const ENTRY_BYTES = 16;

/** Notes the state of the folder `dir`, itself included. Blocks: for workers. */
export function markTree(dir: string, shared: ReadonlySet<bigint>): TreeMarks {
  const changes = new Map<bigint, bigint>();
  let bytes = 0;
  const note = (path: ByteString): BigIntStats => {
    const stat = lstatSync(bytesOf(path), { bigint: true });
    if (!changes.has(stat.ino) && !shared.has(stat.ino)) bytes += Number(stat.blocks) * 512;
    changes.set(stat.ino, stat.ctimeNs);
    return stat;
  };
  const visit = (folder: ByteString): void => {
    for (const name of readdirSync(bytesOf(folder), { encoding: "latin1" })) {
      const path = `${folder}/${name}`;
      if (note(path).isDirectory()) visit(path);
    }
  };
  note(toByteString(dir));
  visit(toByteString(dir));
  const marks = Buffer.alloc(changes.size * ENTRY_BYTES);
  for (const [index, [ino, ctimeNs]] of [...changes].sort(([a], [b]) => (a < b ? -1 : 1)).entries()) {
    marks.writeBigUInt64LE(ino, index * ENTRY_BYTES);
    marks.writeBigInt64LE(ctimeNs, index * ENTRY_BYTES + 8);
  }
  return { marks, usage: { bytes, inodes: changes.size } };
}

/**
 * What below `dir` is new or changed since it was marked: whole files, as when overlayfs copies them up. Times are compared for equality
 * alone, so that clocks may be set; a process cannot set the time of change. Files that vanish meanwhile are left out, links count once.
 */
export async function writtenSince(marksFile: string, dir: string): Promise<DiskUsage> {
  const marks = await readFile(marksFile);
  const written = { bytes: 0, inodes: 0 };
  for await (const { ino, ctimeNs, blocks } of inodesBelow(dir)) {
    if (markOf(marks, ino) === ctimeNs) continue;
    written.bytes += Number(blocks) * 512;
    written.inodes += 1;
  }
  return written;
}

/** The time of change that was noted of an inode. */
function markOf(marks: Buffer, ino: bigint): bigint | undefined {
  let [low, high] = [0, marks.length / ENTRY_BYTES - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const found = marks.readBigUInt64LE(middle * ENTRY_BYTES);
    if (found === ino) return marks.readBigInt64LE(middle * ENTRY_BYTES + 8);
    if (found < ino) low = middle + 1;
    else high = middle - 1;
  }
  return undefined;
}
