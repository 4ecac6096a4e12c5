import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, cString, libc, type Path } from "../libc.ts";
import { check, isErrno } from "../system-call-error.ts";

const STATX_MNT_ID = 0x1000;
const STATX_ATTR_MOUNT_ROOT = 0x2000n;
const AT_NO_AUTOMOUNT = 0x800;
/** Offsets in struct statx (include/uapi/linux/stat.h). */
const ATTRIBUTES = 8;
const MOUNT_ID = 144;

function statx(target: Path | number): Buffer {
  const buffer = Buffer.alloc(256);
  const byDescriptor = typeof target === "number";
  check(
    "statx",
    byDescriptor ? `descriptor ${target}` : target,
    libc.statx(
      byDescriptor ? target : AT_FDCWD,
      cString(byDescriptor ? "" : target),
      AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (byDescriptor ? AT_EMPTY_PATH : 0),
      STATX_MNT_ID,
      buffer,
    ),
  );
  return buffer;
}

/** Whether something is mounted right at `path` (a symbolic link is not followed); false when it does not exist. Linux 5.8. */
export function isMountPoint(path: Path): boolean {
  try {
    return (statx(path).readBigUInt64LE(ATTRIBUTES) & STATX_ATTR_MOUNT_ROOT) !== 0n;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
}

/** The id, as in mountInfo(), of the mount that `target` (a path or an open descriptor) is on. */
export const mountId = (target: Path | number): number => Number(statx(target).readBigUInt64LE(MOUNT_ID));
