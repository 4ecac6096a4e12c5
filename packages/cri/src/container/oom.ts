import { existsSync } from "node:fs";
import { join } from "node:path";
import { cgroupStats } from "@tripod/linux";

/** Whether the kernel has killed something in the container for want of memory: its own count, or the supervisor's mark. */
export const wasOutOfMemory = (cgroupsPath: string, bundle: string): boolean =>
  (cgroupStats(cgroupsPath).memory?.oomKills ?? 0) > 0 || existsSync(join(bundle, "oom"));
