import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { cgroupStats } from "@tripod/linux";
import type { ContainerRecord } from "../records/container-record.ts";
import { isScope } from "../runtime/cgroup-driver.ts";

/** The exit code of what SIGKILL has ended. */
const sigkilled = 137;

const oomKills = (cgroup: string): number | undefined => cgroupStats(cgroup).memory?.oomKills;

/** What a record keeps when its container is started: how many the kernel had killed in the Pod by then. Only scopes need it. */
export function podOomKillsAtStart({ cgroupsPath }: ContainerRecord): { readonly podOomKills?: number } {
  const before = isScope(cgroupsPath) ? oomKills(dirname(cgroupsPath)) : undefined;
  return before === undefined ? {} : { podOomKills: before };
}

/**
 * Whether the kernel has killed something in the container for want of memory: its own count, or the supervisor's mark. systemd removes a
 * scope as soon as it is empty, often before either has been seen. Then the Pod's count tells, which on version 2 goes on with those of the
 * groups that were below it: had it grown while the container ran, then by this one or one beside it.
 */
export function wasOutOfMemory(
  container: ContainerRecord,
  ended: { readonly code: number; readonly bundle: string },
): boolean {
  const own = oomKills(container.cgroupsPath);
  if ((own ?? 0) > 0 || existsSync(join(ended.bundle, "oom"))) return true;
  if (own !== undefined || container.podOomKills === undefined || ended.code !== sigkilled) return false;
  return (oomKills(dirname(container.cgroupsPath)) ?? 0) > container.podOomKills;
}
