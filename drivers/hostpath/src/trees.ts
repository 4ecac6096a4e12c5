import { lstatSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { isTripodError, runCommand, TripodError } from "@tripod/base";
import {
  createSubvolume,
  deleteSubvolume,
  isBtrfs,
  isSubvolume,
  limitSubvolume,
  snapshotSubvolume,
} from "@tripod/linux";
import { dirname } from "node:path";

/** A copy may take as long as a large disk does. */
const copyTimeoutMs = 6 * 3_600_000;

/** Makes an empty folder: on btrfs a subvolume, which can have a limit and be copied at one moment. */
export const makeFolder = (path: string): Promise<unknown> =>
  isBtrfs(dirname(path)) ? createSubvolume(path) : mkdir(path, { mode: 0o777 });

/** Keeps a folder within so many bytes, where its file system can: a subvolume of btrfs. */
export async function limitFolder(path: string, bytes: bigint): Promise<void> {
  if (isSubvolume(path)) await limitSubvolume(path, Number(bytes));
}

/**
 * Makes `target` hold what `source`, a folder or a file, holds. Blocks are shared where the file system can, and a subvolume of btrfs is copied at
 * one moment; elsewhere what is written meanwhile may be in the copy or not.
 */
export async function copyTree(source: string, target: string): Promise<void> {
  if (isSubvolume(source)) return snapshotSubvolume(source, target);
  try {
    const args = ["--archive", "--reflink=auto", "--sparse=auto", "--no-target-directory", "--", source, target];
    await runCommand("cp", args, { timeoutMs: copyTimeoutMs, env: { ...process.env, LC_ALL: "C" } });
  } catch (cause) {
    if (isTripodError(cause, "internal") && cause.message.includes("No space left on device"))
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
