import { closeSync, constants, openSync, statfsSync } from "node:fs";
import { TripodError } from "@tripod/base";
import { libc } from "../libc.ts";
import { check, isErrno } from "../system-call-error.ts";
import { request } from "./file-system-request.ts";

/** fs/ext4/ext4.h, fs/xfs/libxfs/xfs_fs.h and include/uapi/linux/btrfs.h. */
const EXT4_IOC_RESIZE_FS = 0x40086610;
const XFS_IOC_FSGEOMETRY = 0x8100587e;
const XFS_IOC_FSGROWFSDATA = 0x4010586e;
const BTRFS_IOC_RESIZE = 0x50009403;
const GEOMETRY_BYTES = 256;
const IMAX_PERCENT = 28;
const DATA_BLOCKS = 32;

/**
 * Makes the file system mounted at `mountPoint` as large as its device, which has `deviceBytes`; nothing when it is that large already. Ext4
 * demands CAP_SYS_RESOURCE for it: "permission-denied" without.
 */
export async function growFileSystem(mountPoint: string, type: string, deviceBytes: bigint): Promise<void> {
  const { bsize, blocks: now } = statfsSync(mountPoint, { bigint: true });
  const blocks = deviceBytes / bsize;
  switch (type) {
    case "ext4": {
      const argument = Buffer.alloc(8);
      argument.writeBigUInt64LE(blocks);
      return growExt4(mountPoint, argument);
    }
    case "xfs": {
      const geometry = xfsGeometry(mountPoint);
      if (blocks <= geometry.readBigUInt64LE(DATA_BLOCKS)) return;
      const argument = Buffer.alloc(16);
      argument.writeBigUInt64LE(blocks);
      argument.writeUInt32LE(geometry.readUInt32LE(IMAX_PERCENT), 8);
      return request(mountPoint, { name: "grow xfs at", number: XFS_IOC_FSGROWFSDATA, argument });
    }
    case "btrfs": {
      if (blocks <= now) return;
      const argument = Buffer.alloc(4096);
      argument.write("max", 8);
      return request(mountPoint, { name: "grow btrfs at", number: BTRFS_IOC_RESIZE, argument });
    }
    default:
      throw new TripodError(
        "unimplemented",
        `grow the ${type} file system at ${mountPoint}: only ext4, xfs and btrfs can`,
      );
  }
}

async function growExt4(mountPoint: string, argument: Buffer): Promise<void> {
  try {
    await request(mountPoint, { name: "grow ext4 at", number: EXT4_IOC_RESIZE_FS, argument });
  } catch (cause) {
    if (!isErrno(cause, "EPERM")) throw cause;
    throw new TripodError(
      "permission-denied",
      `grow the ext4 file system at ${mountPoint}: the kernel demands CAP_SYS_RESOURCE while it is mounted`,
      { cause },
    );
  }
}

function xfsGeometry(mountPoint: string): Buffer {
  const fd = openSync(mountPoint, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const geometry = Buffer.alloc(GEOMETRY_BYTES);
    check("geometry of", mountPoint, libc.ioctl(fd, XFS_IOC_FSGEOMETRY, geometry));
    return geometry;
  } finally {
    closeSync(fd);
  }
}
