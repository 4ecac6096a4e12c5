import { constants } from "node:fs";
import { TripodError } from "@tripod/base";
import { cString, libc, type Path, SYS } from "../libc.ts";
import { check, isErrno } from "../system-call-error.ts";

/** How openat2(2) resolves a path. */
const RESOLVE = { NO_MAGICLINKS: 0x02, NO_SYMLINKS: 0x04, IN_ROOT: 0x10 } as const;

const O_CLOEXEC = 0o2000000;
/** Opens the place rather than the thing: no permission on the file and no device side effect needed. */
export const O_PATH = 0o10000000;

export interface OpenInRootOptions {
  /** open(2)'s flags; O_RDONLY unless told. O_CLOEXEC is always added. */
  readonly flags?: number;
  /** Of a file that O_CREAT makes; 0o644 unless told. */
  readonly mode?: number;
  /** Refuse symbolic links altogether (ELOOP). */
  readonly noSymlinks?: boolean;
}

/**
 * Opens `path` as if `root` (a folder's path or descriptor) were `/`: `..` and symbolic links, absolute ones too, stay inside
 * whatever is changed meanwhile. Returns a descriptor that the caller closes. openat2(2), Linux 5.6.
 */
export function openInRoot(root: Path | number, path: Path, options: OpenInRootOptions = {}): number {
  if (typeof root !== "number") {
    const folder = open(-100, root, { flags: O_PATH | constants.O_DIRECTORY }, 0);
    try {
      return openInRoot(folder, path, options);
    } finally {
      libc.close(folder);
    }
  }
  return open(root, path, options, RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS);
}

function open(dirfd: number, path: Path, options: OpenInRootOptions, resolve: number): number {
  const { flags = constants.O_RDONLY, mode = 0o644, noSymlinks = false } = options;
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0);
  how.writeBigUInt64LE(BigInt((flags & constants.O_CREAT) !== 0 ? mode : 0), 8);
  how.writeBigUInt64LE(BigInt(resolve | (noSymlinks ? RESOLVE.NO_SYMLINKS : 0)), 16);
  const name = cString(path);
  // EAGAIN: something was renamed during the resolution, so that the kernel cannot tell whether it stayed inside.
  for (let attempt = 0; attempt < 64; attempt += 1) {
    try {
      return check("openat2", path, libc.syscall(SYS.openat2, dirfd, name, how, BigInt(how.length), null));
    } catch (error) {
      if (!isErrno(error, "EAGAIN", "EINTR")) throw error;
    }
  }
  throw new TripodError("unavailable", `openat2 ${Buffer.from(path).toString()}: renamed again and again meanwhile`);
}
