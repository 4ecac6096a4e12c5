import { mkdirSync, rmSync } from "node:fs";
import { runCommand } from "@tripod/base";

/**
 * Mounts an empty ext4 in a file at `dir` (made): what others write to the disk, and what was deleted there a moment ago (ext4 goes around
 * such inodes one by one), then costs nobody anything.
 */
export async function freshDisk(dir: string): Promise<AsyncDisposable> {
  const file = `${dir}.disk`;
  mkdirSync(dir, { recursive: true });
  await runCommand("truncate", ["-s", "8G", file]);
  await runCommand("mkfs.ext4", ["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", file]);
  await runCommand("mount", ["-o", "loop", file, dir]);
  return {
    async [Symbol.asyncDispose]() {
      await runCommand("umount", [dir]);
      rmSync(file);
    },
  };
}
