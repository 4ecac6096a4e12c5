import { writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Backoff, TripodError } from "@tripod/base";
import { pidfdOpen, pidfdSendSignal } from "../processes/pidfd.ts";
import { waitForExit } from "../processes/wait-for-exit.ts";
import { isErrno } from "../system-call-error.ts";
import { checkOwnCgroup } from "./cgroup-path.ts";
import { cgroupProcesses, isGone } from "./cgroup-processes.ts";
import { cgroupHierarchies } from "./hierarchies.ts";
import { libc } from "../libc.ts";

const SIGKILL = 9;

export interface KillCgroupOptions {
  /** How long to wait for the processes to be gone; 10,000 unless told. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Kills every process of the group and of all below it, and waits until they are gone; at once when there is none. "timeout" names
 * those that would not go (in uninterruptible sleep, or zombies whose parent does not reap them).
 */
export async function killCgroup(path: string, options: KillCgroupOptions = {}): Promise<void> {
  checkOwnCgroup(path);
  const { timeoutMs = 10_000 } = options;
  const deadline = performance.now() + timeoutMs;
  const backoff = new Backoff({ initialMs: 1, maxMs: 50 });
  for (;;) {
    const pids = cgroupProcesses(path, { recursive: true });
    if (pids.length === 0) return;
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) {
      throw new TripodError("timeout", `kill cgroup ${path}: processes ${pids.join(", ")} are still there`);
    }
    const timeout = AbortSignal.timeout(Math.ceil(leftMs));
    const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
    // Waited for from before they are killed: a process leaves its group before it has ended, the first one of a PID namespace long
    // before, for it waits until all others in there are reaped (kernel/exit.c: cgroup_exit(), exit_notify()).
    const ends = pids.map((pid) => waitForExit(pid, { signal }));
    for (const end of ends) end.catch(() => {}); // heard below
    await killOnce(path);
    try {
      await Promise.all(ends);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!timeout.aborted) throw error;
    }
    // A dead process stays listed until it is reaped, which has no event to wait for.
    await delay(backoff.next(), undefined, { signal: options.signal });
  }
}

/**
 * One round: by the kernel where it can (version 2 from Linux 5.14), else one by one, frozen so that none forks away. The kernel may keep
 * whoever writes to these files waiting for 20 ms, so threads of the pool do.
 */
async function killOnce(path: string): Promise<void> {
  const { unified, v1 } = cgroupHierarchies();
  if (unified !== undefined) await tell(join(unified, path, "cgroup.kill"), "1");
  const freezer = v1.get("freezer");
  if (freezer === undefined) {
    if (v1.size > 0) signalEach(path);
    return;
  }
  const state = join(freezer, path, "freezer.state");
  await tell(state, "FROZEN");
  try {
    signalEach(path);
  } finally {
    // A frozen process dies only once it is thawed.
    await tell(state, "THAWED");
  }
}

/** Writes to a file of a group, unless the group is gone. */
async function tell(file: string, value: string): Promise<void> {
  try {
    await writeFile(file, value, { flag: "r+" });
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

/**
 * Lets the group's processes run again that somebody has frozen and then not let go, because it was killed meanwhile. A group that is not
 * frozen, or not there, is left as it is.
 */
export function thawCgroup(path: string): void {
  checkOwnCgroup(path);
  const { unified, v1 } = cgroupHierarchies();
  const freezer = v1.get("freezer");
  if (freezer !== undefined) writeIfThere(join(freezer, path, "freezer.state"), "THAWED");
  if (unified !== undefined) writeIfThere(join(unified, path, "cgroup.freeze"), "0");
}

function signalEach(path: string): void {
  for (const pid of cgroupProcesses(path, { recursive: true })) {
    const fd = pidfdOpen(pid);
    if (fd === undefined) continue;
    try {
      // The number may belong to another process by now; with the descriptor open it can no longer change hands.
      if (cgroupProcesses(path, { recursive: true }).includes(pid)) pidfdSendSignal(fd, SIGKILL);
    } catch (error) {
      if (!isErrno(error, "ESRCH")) throw error;
    } finally {
      libc.close(fd);
    }
  }
}

function writeIfThere(file: string, value: string): void {
  try {
    writeFileSync(file, value, { flag: "r+" });
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}
