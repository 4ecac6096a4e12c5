import { closeSync, constants, fstatSync, mkdirSync } from "node:fs";
import { mkdir, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isNodeError, TripodError } from "@tripod/base";
import { bindMount, isErrno, O_PATH, openInRoot, unmount } from "@tripod/linux";
import { entriesOf } from "./folder-entries.ts";

/** Opens `subPath` inside the volume and makes its folders when they are missing; links cannot lead out of the volume. */
function openOrMake(volumeRoot: string, subPath: string): number {
  try {
    return openInRoot(volumeRoot, subPath, { flags: O_PATH });
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
  let current = openInRoot(volumeRoot, ".", { flags: O_PATH | constants.O_DIRECTORY });
  try {
    const mode = fstatSync(current).mode & 0o7777;
    let walked = "";
    for (const part of subPath.split("/").filter((name) => name !== "" && name !== ".")) {
      walked = join(walked, part);
      try {
        mkdirSync(`/proc/self/fd/${current}/${part}`, { mode });
      } catch (error) {
        if (!isNodeError(error, "EEXIST")) throw error;
      }
      // Resolved from the root again, so that a link put there in the meantime stays inside too.
      const next = openInRoot(volumeRoot, walked, { flags: O_PATH });
      closeSync(current);
      current = next;
    }
    return current;
  } catch (error) {
    closeSync(current);
    throw error;
  }
}

/**
 * Shows a path inside a volume at `target`, a bind mount made from an open descriptor: what a container does to the volume at the same
 * moment cannot redirect it out of the volume. Repeating it gives a fresh mount.
 */
export async function bindSubPath(volumeRoot: string, subPath: string, target: string): Promise<void> {
  if (subPath.startsWith("/") || subPath.split("/").includes("..")) {
    throw new TripodError("invalid", `subPath ${JSON.stringify(subPath)}: must be relative and without ..`);
  }
  const opened = openOrMake(volumeRoot, subPath);
  try {
    while (unmount(target, { detach: true, noFollow: true }));
    await rm(target, { force: true, recursive: false }).catch(() => rmdir(target));
    await mkdir(dirname(target), { recursive: true, mode: 0o750 });
    if (fstatSync(opened).isDirectory()) await mkdir(target);
    else await writeFile(target, "", { mode: 0o640 });
    bindMount(`/proc/self/fd/${opened}`, target, { recursive: true });
  } finally {
    closeSync(opened);
  }
}

/** Takes away every subPath mount of a Pod. Idempotent. */
export async function removeSubPaths(subPathsDir: string): Promise<void> {
  for (const volume of await entriesOf(subPathsDir)) {
    for (const container of await entriesOf(join(subPathsDir, volume))) {
      for (const index of await entriesOf(join(subPathsDir, volume, container))) {
        const target = join(subPathsDir, volume, container, index);
        while (unmount(target, { detach: true, noFollow: true }));
        await rm(target, { force: true }).catch(() => rmdir(target));
      }
      await rmdir(join(subPathsDir, volume, container));
    }
    await rmdir(join(subPathsDir, volume));
  }
  await rm(subPathsDir, { recursive: true, force: true });
}
