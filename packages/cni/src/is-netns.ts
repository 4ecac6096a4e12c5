import { isErrno, namespaceExists, openRtnetlink } from "@tripod/linux";

/** Of paths at which there can be no namespace: too long, a circle of links, or with a NUL. */
const impossible: ReadonlySet<string | undefined> = new Set(["ENAMETOOLONG", "ELOOP", "ERR_INVALID_ARG_VALUE"]);

/** Whether a network namespace is at `path`: false too where it is a namespace of another kind, or nothing that could be one. */
export function isNetns(path: string): boolean {
  try {
    if (!namespaceExists(path)) return false;
    using _entered = openRtnetlink({ netns: path });
    return true;
  } catch (error) {
    // EINVAL is setns()'s for another kind; ENOENT when it went in between.
    if (isErrno(error, "EINVAL") || isErrno(error, "ENOENT")) return false;
    if (impossible.has((error as NodeJS.ErrnoException).code)) return false; // statfsSync() throws these
    throw error;
  }
}
