import { StorageHealthErrorType, VolumeHealthErrorType } from "@tripod/api/csi";
import { statfs } from "node:fs/promises";
import { messageOf } from "@tripod/base";
import type { HealthProblem, Space, StorageProblem } from "./volume-storage.ts";

/** Below one part in so many of the disk, volumes are about to fail. */
const scarce = 50n;

/** The size of the file system that `dir` is on, and what an unprivileged user may still write to it. */
export async function diskSpace(dir: string): Promise<Space> {
  const { bsize, blocks, bavail } = await statfs(dir, { bigint: true });
  return { totalBytes: bsize * blocks, availableBytes: bsize * bavail };
}

/** What is wrong with the disk under all volumes. */
export async function diskProblems(dir: string): Promise<StorageProblem[]> {
  let space: Space;
  try {
    space = await diskSpace(dir);
  } catch (error) {
    return [{ status: StorageHealthErrorType.STORAGE_UNREACHABLE, reason: "Unreachable", message: messageOf(error) }];
  }
  if (space.availableBytes * scarce >= space.totalBytes) return [];
  const message = `${dir} has ${space.availableBytes} of ${space.totalBytes} bytes left; free some`;
  return [{ status: StorageHealthErrorType.STORAGE_DEGRADED, reason: "DiskNearlyFull", message }];
}

/** The same as a problem of each volume that may still grow on it. */
export async function diskProblemsOfVolume(dir: string): Promise<HealthProblem[]> {
  return (await diskProblems(dir)).map(({ status, reason = "", message = "" }) => ({
    status:
      status === StorageHealthErrorType.STORAGE_UNREACHABLE
        ? VolumeHealthErrorType.INACCESSIBLE
        : VolumeHealthErrorType.DEGRADED,
    reason,
    message,
  }));
}
