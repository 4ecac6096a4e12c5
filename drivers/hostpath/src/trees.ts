import { lstatSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { isTripodError, runCommand, TripodError } from "@tripod/base";
import { createSubvolume, deleteSubvolume, isBtrfs, isSubvolume, setProject, snapshotSubvolume } from "@tripod/linux";
import { dirname } from "node:path";

/** A copy may take as long as a large disk does. */
const copyTimeoutMs = 6 * 3_600_000;

/** Makes an empty folder, of a project where one is told; on btrfs a subvolume, which can have a limit and be copied at one moment. */
export async function makeFolder(path: string, project: number | undefined): Promise<void> {
  if (isBtrfs(dirname(path))) return createSubvolume(path);
  await mkdir(path, { mode: 0o777 });
  if (project !== undefined) setProject(path, { id: project, handsDown: true });
}

/**
 * Makes `target`, which is absent or an empty folder, hold what `source`, a folder or a file, holds. Blocks are shared where the file system can, and a subvolume of btrfs is copied at
 * one moment; elsewhere what is written meanwhile may be in the copy or not.
 */
export async function copyTree(source: string, target: string): Promise<void> {
  if (isSubvolume(source)) return snapshotSubvolume(source, target);
  try {
    const args = ["--archive", "--reflink=auto", "--sparse=auto", "--no-target-directory", "--", source, target];
    await runCommand("cp", args, { timeoutMs: copyTimeoutMs, env: { ...process.env, LC_ALL: "C" } });
  } catch (cause) {
    if (isTripodError(cause, "internal") && /No space left on device|Disk quota exceeded/.test(cause.message))
      throw new TripodError("exhausted", `copy ${source}: no space left on device`, { cause });
    throw cause;
  }
}

/** Removes a folder with all that is in it, or a file; links are removed, not followed. Absent is no error. */
export async function removeTree(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (isSubvolume(path)) await deleteSubvolume(path);
  else await rm(path, { recursive: true, force: true });
}
