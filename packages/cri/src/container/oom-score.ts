import { writeFileSync } from "node:fs";
import { isNodeError } from "@tripod/base";
import { clampOomScore, grantableCapabilities } from "@tripod/oci";
import type { ProcessIdentity } from "../records/container-record.ts";
import { isAlive } from "./process.ts";

/** `wanted`, as far as this machine lets us give it to a container. */
export const possibleOomScore = (wanted: number): number =>
  clampOomScore(wanted, { sysResource: grantableCapabilities().includes("CAP_SYS_RESOURCE") });

/** Gives a living container's first process another score, which what it starts from now on inherits; one that has ended is no error. */
export function setOomScore(init: ProcessIdentity | undefined, wanted: number): void {
  if (init === undefined || !isAlive(init)) return;
  try {
    writeFileSync(`/proc/${init.pid}/oom_score_adj`, String(possibleOomScore(wanted)));
  } catch (error) {
    if (!isNodeError(error, "ENOENT", "ESRCH")) throw error;
  }
}
