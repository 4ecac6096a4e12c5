import { chmod, mkdir } from "node:fs/promises";
import type { EmptyDirVolumeSource } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { isMountPoint, mountTmpfs } from "@tripod/linux";
import { bytesOf } from "../pods/quantities.ts";

/** Makes an emptyDir volume at `path`: a folder on the node's disk, or a memory file system with the volume's size limit. */
export async function prepareEmptyDir(path: string, { medium = "", sizeLimit }: EmptyDirVolumeSource): Promise<void> {
  if (medium !== "" && medium !== "Memory") {
    throw new TripodError("unimplemented", `emptyDir medium ${medium}: this kubelet knows the default and Memory`);
  }
  await mkdir(path, { recursive: true });
  if (medium === "Memory" && !isMountPoint(path)) {
    const sizeBytes = bytesOf(sizeLimit);
    mountTmpfs(path, { mode: 0o777, ...(sizeBytes === undefined || sizeBytes === 0 ? {} : { sizeBytes }) });
  }
  await chmod(path, 0o777);
}
