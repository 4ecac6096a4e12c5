import { closeSync, constants, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { isNodeError, TripodError } from "@tripod/base";
import { isErrno, O_PATH, openInRoot } from "@tripod/linux";

// Whoever uses a volume may put symbolic links into it. These see to it that no path of ours leads through one.

/** The folder `path` of `dir`, of which no part is a symbolic link, as a path for `use`; undefined when it is not there. */
export function withFolder<T>(dir: string, path: string, use: (at: string) => T): T | undefined {
  let fd: number;
  try {
    fd = openInRoot(dir, path === "" ? "." : path, { flags: O_PATH | constants.O_DIRECTORY, noSymlinks: true });
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    if (isErrno(error, "ELOOP", "ENOTDIR"))
      throw new TripodError("failed-precondition", `open ${path} in the share: a link or a file is in the way`, {
        cause: error,
      });
    throw error;
  }
  try {
    return use(`/proc/self/fd/${fd}`);
  } finally {
    closeSync(fd);
  }
}

/** Makes the folder `path` of `dir` with those above it that are absent, and gives it to `use`. */
export function makeFolder<T>(dir: string, path: string, use: (at: string) => T): T {
  const above = dirname(path);
  const name = path.slice(path.lastIndexOf("/") + 1);
  const make = (at: string): void => {
    try {
      mkdirSync(`${at}/${name}`, { mode: 0o755 });
    } catch (error) {
      if (!isNodeError(error, "EEXIST")) throw error;
    }
  };
  if (above === ".") withFolder(dir, "", make);
  else makeFolder(dir, above, make);
  const used = withFolder(dir, path, (at) => ({ value: use(at) }));
  if (used === undefined) throw new TripodError("aborted", `make ${path} in the share: somebody removes it meanwhile`);
  return used.value;
}
