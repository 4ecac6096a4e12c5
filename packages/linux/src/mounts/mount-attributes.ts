import { AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE, cString, libc, type Path, SYS } from "../libc.ts";
import { check } from "../system-call-error.ts";
import { type Propagation, propagationFlags } from "./mount-flags.ts";

/** Attributes of a mount, as opposed to options of its file system (mount_setattr(2)). */
export const MOUNT_ATTR = {
  RDONLY: 0x1,
  NOSUID: 0x2,
  NODEV: 0x4,
  NOEXEC: 0x8,
  NOATIME: 0x10,
  NOSYMFOLLOW: 0x200000,
} as const;

export interface MountAttributes {
  /** MOUNT_ATTR bits to set; others stay as they are. */
  readonly set?: number;
  readonly clear?: number;
  readonly propagation?: Propagation;
  /** A user namespace whose mapping the mount takes: id-mapped mounts. The mount must be detached or new. */
  readonly userNamespaceFd?: number;
  /** For all mounts below as well, all or none. */
  readonly recursive?: boolean;
}

const MOUNT_ATTR_IDMAP = 0x100000;
/** All that says when times of access are written: one value, not bits; to set any the kernel wants all cleared. */
const MOUNT_ATTR__ATIME = 0x70;

/** mount_setattr(2) on the mount at `target`, a path or an open descriptor of its root. Linux 5.12. */
export function setMountAttributes(target: Path | number, attributes: MountAttributes): void {
  const packed = Buffer.alloc(32);
  const idmap = attributes.userNamespaceFd === undefined ? 0 : MOUNT_ATTR_IDMAP;
  const { set = 0, clear = 0 } = attributes;
  packed.writeBigUInt64LE(BigInt(set | idmap), 0);
  packed.writeBigUInt64LE(BigInt((set & MOUNT_ATTR__ATIME) === 0 ? clear : clear | MOUNT_ATTR__ATIME), 8);
  packed.writeBigUInt64LE(
    BigInt(attributes.propagation === undefined ? 0 : propagationFlags[attributes.propagation]),
    16,
  );
  packed.writeBigUInt64LE(BigInt(attributes.userNamespaceFd ?? 0), 24);
  const byDescriptor = typeof target === "number";
  const flags = (attributes.recursive === true ? AT_RECURSIVE : 0) | (byDescriptor ? AT_EMPTY_PATH : 0);
  check(
    "mount_setattr",
    byDescriptor ? `descriptor ${target}` : target,
    libc.syscall(
      SYS.mount_setattr,
      byDescriptor ? target : AT_FDCWD,
      cString(byDescriptor ? "" : target),
      BigInt(flags),
      packed,
      BigInt(packed.length),
    ),
  );
}
