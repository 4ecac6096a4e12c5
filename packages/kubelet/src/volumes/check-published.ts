import { lstat } from "node:fs/promises";
import type { Stats } from "node:fs";
import { isNodeError, TripodError } from "@tripod/base";
import { isMountPoint } from "@tripod/linux";
import type { CsiVolume } from "./csi-spec.ts";

async function lookAt(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** What is wrong with what a driver has published, in the words that end the error; undefined when it can be used. */
async function fault({ block, lifecycle }: CsiVolume, path: string): Promise<string | undefined> {
  const found = await lookAt(path);
  if (found === undefined) return "there is nothing";
  if (block) return found.isBlockDevice() ? undefined : "there is no block device";
  if (!found.isDirectory()) return "there is no folder";
  // Without a mount a Pod would write to the node's own disk, and nobody would find it again. Inline volumes may be plain files.
  return lifecycle === "Ephemeral" || isMountPoint(path) ? undefined : "nothing is mounted there";
}

/** Refuses what a driver says that it has published when it has not. */
export async function checkPublished(volume: CsiVolume, path: string): Promise<void> {
  const why = await fault(volume, path);
  if (why === undefined) return;
  const { driver, handle } = volume;
  throw new TripodError(
    "internal",
    `driver ${driver}: said that it published volume ${handle} at ${path}, and ${why}; ask for a driver that works`,
  );
}
