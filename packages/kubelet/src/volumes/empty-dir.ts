import { chmod, mkdir } from "node:fs/promises";
import type { EmptyDirVolumeSource, Pod } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { hugePagePools, isMountPoint, mountHugePages, mountTmpfs } from "@tripod/linux";
import { hugePageResource, pageSizeOfMedium } from "../containers/huge-pages.ts";
import { bytesOf } from "../pods/quantities.ts";

function prepareHugePages(path: string, pageBytes: number): void {
  const pages = hugePagePools().find((pool) => pool.pageBytes === pageBytes)?.pages;
  const what = `emptyDir of ${hugePageResource(pageBytes)}`;
  if (pages === undefined)
    throw new TripodError("failed-precondition", `${what}: this machine has no pages of that size`);
  if (pages === 0)
    throw new TripodError(
      "failed-precondition",
      `${what}: none are set aside; write how many to /sys/kernel/mm/hugepages/hugepages-${pageBytes / 1024}kB/nr_hugepages and start the kubelet again`,
    );
  if (!isMountPoint(path)) mountHugePages(path, { pageBytes });
}

/** Makes an emptyDir volume at `path`: a folder on the node's disk, a memory file system with the volume's size limit, or huge pages. */
export async function prepareEmptyDir(
  path: string,
  { medium = "", sizeLimit }: EmptyDirVolumeSource,
  pod: Pod,
): Promise<void> {
  const pageBytes = pageSizeOfMedium(medium, pod);
  if (pageBytes === undefined && medium !== "" && medium !== "Memory")
    throw new TripodError("unimplemented", `emptyDir medium ${medium}: known are the default, Memory and HugePages`);
  await mkdir(path, { recursive: true });
  if (pageBytes !== undefined) prepareHugePages(path, pageBytes);
  if (medium === "Memory" && !isMountPoint(path)) {
    const sizeBytes = bytesOf(sizeLimit);
    mountTmpfs(path, { mode: 0o777, ...(sizeBytes === undefined || sizeBytes === 0 ? {} : { sizeBytes }) });
  }
  await chmod(path, 0o777);
}
