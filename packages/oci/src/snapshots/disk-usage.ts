import { lstat, opendir } from "node:fs/promises";
import { join } from "node:path";
import { isNodeError } from "@tripod/base";
import type { DiskUsage } from "../image.ts";

/** What is below `dir`, itself not counted; files that vanish meanwhile are left out, hard links count once. */
export async function diskUsage(dir: string): Promise<DiskUsage> {
  let bytes = 0;
  let inodes = 0;
  const seen = new Set<string>();
  const folders = [dir];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    try {
      for await (const entry of await opendir(folder)) {
        const path = join(folder, entry.name);
        const stat = await lstat(path).catch((error: unknown) => {
          if (isNodeError(error, "ENOENT")) return undefined;
          throw error;
        });
        if (stat === undefined) continue;
        if (stat.nlink > 1 && !stat.isDirectory()) {
          if (seen.has(`${stat.dev}:${stat.ino}`)) continue;
          seen.add(`${stat.dev}:${stat.ino}`);
        }
        bytes += stat.blocks * 512;
        inodes += 1;
        if (stat.isDirectory()) folders.push(path);
      }
    } catch (error) {
      if (!isNodeError(error, "ENOENT")) throw error;
    }
  }
  return { bytes, inodes };
}
