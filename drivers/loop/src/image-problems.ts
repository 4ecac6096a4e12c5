import { readFileSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { VolumeHealthErrorType as Problem } from "@tripod/api/csi";
import { isNodeError } from "@tripod/base";
import { diskProblemsOfVolume, type HealthProblem } from "@tripod/csi/local";
import { loopsOf, mountInfo } from "@tripod/linux";

/** What is wrong with a volume: its image, the file system in use on it, or the disk that it grows on. */
export async function imageProblems(image: string): Promise<HealthProblem[]> {
  const found = statSync(image, { throwIfNoEntry: false });
  if (found === undefined) {
    const message = `${image} is gone; restore the volume from a snapshot or a backup`;
    return [{ status: Problem.DATA_LOSS, reason: "DataGone", message }];
  }
  const problems: HealthProblem[] = [];
  for (const { path } of loopsOf(image)) {
    const mounted = mountInfo().find(({ source }) => source === path);
    if (mounted?.superOptions.includes("ro") === true || mounted?.superOptions.includes("emergency_ro") === true)
      problems.push({
        status: Problem.INACCESSIBLE,
        reason: "FileSystemReadOnly",
        message: `the kernel made ${path} read-only after an error; end the Pods that use it: it is checked before it is mounted again`,
      });
    const errors = ext4Errors(path);
    if (errors > 0)
      problems.push({
        status: Problem.DEGRADED,
        reason: "FileSystemErrors",
        message: `ext4 on ${path} has met ${errors} errors`,
      });
  }
  const isSparse = found.blocks * 512 < found.size;
  return isSparse ? [...problems, ...(await diskProblemsOfVolume(dirname(image)))] : problems;
}

/** How many errors ext4 has counted on a device; 0 for another file system. */
function ext4Errors(device: string): number {
  try {
    return Number(readFileSync(`/sys/fs/ext4/${basename(device)}/errors_count`, "utf8"));
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return 0;
    throw error;
  }
}
