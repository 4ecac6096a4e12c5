import { mkdir, symlink } from "node:fs/promises";
import { dirname } from "node:path";
import { isNodeError } from "@tripod/base";
import { blockDataDir, blockPublishPath, podDevicePath } from "./csi-paths.ts";
import { type VolData, writeVolData } from "./vol-data.ts";

/**
 * Notes on disk that a Pod uses a block volume, before anything is done for it: the facts by which it is taken down, and the link from the
 * Pod's folder to where it will be published, which is where upstream has it.
 */
export async function claimBlockVolume(kubeletDir: string, podUid: string, data: VolData): Promise<void> {
  const link = podDevicePath(kubeletDir, podUid, data.specVolID);
  await mkdir(dirname(link), { recursive: true, mode: 0o750 });
  try {
    await symlink(blockPublishPath(kubeletDir, data.specVolID, podUid), link);
  } catch (error) {
    if (!isNodeError(error, "EEXIST")) throw error;
  }
  const dataDir = blockDataDir(kubeletDir, data.specVolID);
  await mkdir(dataDir, { recursive: true, mode: 0o750 });
  await writeVolData(`${dataDir}/any`, data);
}
