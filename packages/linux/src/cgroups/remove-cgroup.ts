import { rmdir } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { Backoff, isNodeError, TripodError } from "@tripod/base";
import { basename } from "node:path";
import { checkOwnCgroup } from "./cgroup-path.ts";
import { cgroupFolders, cgroupProcesses, isGone, tree } from "./cgroup-processes.ts";
import { stopSlice, systemdIsInit } from "./systemd-slice.ts";

export interface RemoveCgroupOptions {
  /** How long to wait for the last processes, which are about to go, to leave; 5,000 unless told. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Removes the group and all below it from every hierarchy. Idempotent. Where systemd is init, a slice is removed by it, with all that still
 * runs in it: it would else keep the name of a folder that is gone. A dying process holds its group a little longer than it is
 * waited for, so a busy one is tried again until the time is over; then "failed-precondition" names the processes in it.
 */
export async function removeCgroup(path: string, options: RemoveCgroupOptions = {}): Promise<void> {
  checkOwnCgroup(path);
  if (path.endsWith(".slice") && systemdIsInit()) await stopSlice(basename(path));
  const deadline = performance.now() + (options.timeoutMs ?? 5_000);
  const backoff = new Backoff({ initialMs: 1, maxMs: 100 });
  while (!(await tryRemove(path))) {
    if (performance.now() > deadline) {
      const pids = cgroupProcesses(path, { recursive: true });
      throw new TripodError(
        "failed-precondition",
        `remove cgroup ${path}: still in use by processes ${pids.join(", ") || "that are exiting"}; kill them first`,
      );
    }
    await delay(backoff.next(), undefined, { signal: options.signal });
  }
}

/** Whether it is gone from every hierarchy. Each removal may wait for the kernel, so the hierarchies wait side by side, off the event loop. */
const tryRemove = async (path: string): Promise<boolean> =>
  (await Promise.all(cgroupFolders(path).map(tryRemoveTree))).every((removed) => removed);

async function tryRemoveTree(folder: string): Promise<boolean> {
  let removed = true;
  for (const group of tree(folder)) {
    try {
      await rmdir(group);
    } catch (error) {
      if (isGone(error)) continue;
      if (!isNodeError(error, "EBUSY", "ENOTEMPTY")) throw error;
      removed = false;
    }
  }
  return removed;
}
