import type { BigIntStats } from "node:fs";
import { lstat, opendir } from "node:fs/promises";
import { isNodeError } from "@tripod/base";
import type { DiskUsage } from "../image.ts";
import { bytesOf, toByteString } from "../unpack/entry-path.ts";

/** What is below `dir`, itself not counted; files that vanish meanwhile are left out, hard links count once. */
export async function diskUsage(dir: string): Promise<DiskUsage> {
  const usage = { bytes: 0, inodes: 0 };
  for await (const { blocks } of inodesBelow(dir)) {
    usage.bytes += Number(blocks) * 512;
    usage.inodes += 1;
  }
  return usage;
}

/** Every inode below `dir` once, whatever bytes its name is made of, without those that vanish meanwhile. */
export async function* inodesBelow(dir: string): AsyncGenerator<BigIntStats> {
  const seen = new Set<string>();
  const folders = [toByteString(dir)];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    try {
      // Each byte of a name is a character of its own.
      for await (const entry of await opendir(bytesOf(folder), { encoding: "latin1" })) {
        const path = `${folder}/${entry.name}`;
        const stat = await lstat(bytesOf(path), { bigint: true }).catch((error: unknown) => {
          if (isNodeError(error, "ENOENT")) return undefined;
          throw error;
        });
        if (stat === undefined) continue;
        if (stat.isDirectory()) folders.push(path);
        else if (stat.nlink > 1n) {
          if (seen.has(`${stat.dev}:${stat.ino}`)) continue;
          seen.add(`${stat.dev}:${stat.ino}`);
        }
        yield stat;
      }
    } catch (error) {
      if (!isNodeError(error, "ENOENT")) throw error;
    }
  }
}
