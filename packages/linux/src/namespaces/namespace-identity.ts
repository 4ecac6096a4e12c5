import { statfsSync, statSync } from "node:fs";

/** f_type of the file system that namespaces' files are on (include/uapi/linux/magic.h). */
const NSFS_MAGIC = 0x6e736673;

/** Whether a namespace is pinned at `path` (or `path` is one, as /proc/PID/ns/net); false for what a crash left: a plain file. */
export function namespaceExists(path: string): boolean {
  try {
    return statfsSync(path).type === NSFS_MAGIC;
  } catch (error) {
    // statfsSync throws ErrnoExceptions.
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ESRCH") return false;
    throw error;
  }
}

/** Tells namespaces apart: equal for two paths of the same one. The kernel reuses it once the namespace is gone. */
export function namespaceIdentity(path: string): string {
  const { dev, ino } = statSync(path);
  return `${dev}:${ino}`;
}
