import { statfsSync } from "node:fs";
import { unmount } from "@tripod/linux";
import type { Job, JobResults, Progress, Statistics } from "./job.ts";
import { mountShare } from "./mount-share.ts";
import { publishFolder, unpublishFolder } from "./publish-folder.ts";
import { readRecord, writeRecord } from "./share-records.ts";
import { lookAtSnapshot, removeSnapshot, takeSnapshot } from "./snapshots.ts";
import { lookAtVolume, makeVolume, removeVolume } from "./volume-folders.ts";

/** Does a job on the file system itself, in this process. */
export async function doJob(
  job: Job,
  onProgress: (progress: Progress) => void,
): Promise<JobResults[Job["kind"]] | undefined | void> {
  switch (job.kind) {
    case "mount":
      return mountShare(job);
    case "unmount":
      unmount(job.dir, { detach: true, noFollow: true });
      return;
    case "publish":
      return publishFolder(job);
    case "unpublish":
      return unpublishFolder(job.target);
    case "statistics":
      return statistics(job.path);
    case "make":
      return makeVolume(job, onProgress);
    case "remove":
      return removeVolume(job);
    case "look":
      return lookAtVolume(job) ? { record: readRecord(job) ?? null } : null;
    case "record":
      return writeRecord(job, job.record);
    case "snapshot":
      return takeSnapshot(job, onProgress);
    case "look-at-snapshot":
      return lookAtSnapshot(job) ?? null;
    case "remove-snapshot":
      return removeSnapshot(job);
  }
}

function statistics(path: string): Statistics {
  const { bsize, blocks, bavail, bfree, files, ffree } = statfsSync(path, { bigint: true });
  return {
    totalBytes: String(bsize * blocks),
    availableBytes: String(bsize * bavail),
    freeBytes: String(bsize * bfree),
    files: String(files),
    freeFiles: String(ffree),
  };
}
