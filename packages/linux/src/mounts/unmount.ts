import { cString, libc, type Path } from "../libc.ts";
import { check, isErrno } from "../system-call-error.ts";

const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

export interface UnmountOptions {
  /** Take it out of the tree at once, and away when its last user is gone, instead of failing with EBUSY. */
  readonly detach?: boolean;
  /** Refuse a symbolic link as the last component. */
  readonly noFollow?: boolean;
}

/** Takes away the topmost mount at `target`: true when there was one, false when nothing is mounted there or it does not exist. */
export function unmount(target: Path, options: UnmountOptions = {}): boolean {
  const flags = (options.detach === true ? MNT_DETACH : 0) | (options.noFollow === true ? UMOUNT_NOFOLLOW : 0);
  try {
    check("umount2", target, libc.umount2(cString(target), flags));
    return true;
  } catch (error) {
    // EINVAL is the kernel's word for "not a mount point" (the flags are right).
    if (isErrno(error, "EINVAL", "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
}
