import type { DiskUsage } from "../image.ts";
import { toByteString } from "../unpack/entry-path.ts";
import { walkTree } from "./walk-tree.ts";

/** A layer's files counted as they are when it is unpacked: contents in whole blocks of 4096 bytes, hard links once, the root not at all. */
export function measureTree(dir: string): DiskUsage {
  let bytes = 0;
  let inodes = 0;
  const seen = new Set<bigint>();
  for (const { path, stat } of walkTree(toByteString(dir))) {
    if (path === "") continue;
    if (stat.nlink > 1n && !stat.isDirectory()) {
      if (seen.has(stat.ino)) continue;
      seen.add(stat.ino);
    }
    inodes += 1;
    bytes += stat.isDirectory() ? 4096 : stat.isFile() ? Math.ceil(Number(stat.size) / 4096) * 4096 : 0;
  }
  return { bytes, inodes };
}
