import { rmdirSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { Backoff, TripodError } from "@tripod/base";
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
  while (!tryRemove(path)) {
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

function tryRemove(path: string): boolean {
  let removed = true;
  for (const folder of cgroupFolders(path)) {
    for (const group of tree(folder)) {
      try {
        rmdirSync(group);
      } catch (error) {
        if (isGone(error)) continue;
        // rmdirSync throws ErrnoExceptions.
        const code = (error as NodeJS.ErrnoException).code;
        if (code !== "EBUSY" && code !== "ENOTEMPTY") throw error;
        removed = false;
      }
    }
  }
  return removed;
}
