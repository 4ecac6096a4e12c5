import { readFileSync } from "node:fs";

/**
 * `wanted`, no lower than this process may set: without CAP_SYS_RESOURCE the kernel refuses to go below the lowest score that the
 * process was ever given by one who might, and runc fails the whole container for it.
 */
export function clampOomScore(wanted: number, have: { readonly sysResource: boolean; readonly own?: number }): number {
  const bounded = Math.min(1000, Math.max(-1000, wanted));
  if (have.sysResource) return bounded;
  const own = have.own ?? Number(readFileSync("/proc/self/oom_score_adj", "utf8"));
  return Math.max(bounded, own);
}
