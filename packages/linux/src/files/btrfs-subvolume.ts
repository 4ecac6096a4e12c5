import { closeSync, constants, openSync, statfsSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { TripodError } from "@tripod/base";
import { libc, type Path } from "../libc.ts";
import { check, isErrno } from "../system-call-error.ts";
import { request } from "./file-system-request.ts";

/** include/uapi/linux/btrfs.h and btrfs_tree.h. */
const IOC_SUBVOL_CREATE = 0x5000940e;
const IOC_SNAP_DESTROY = 0x5000940f;
const IOC_INO_LOOKUP = 0xd0009412;
const IOC_SNAP_CREATE_V2 = 0x50009417;
const IOC_QUOTA_CTL = 0xc0109428;
const IOC_QGROUP_CREATE = 0x4010942a;
const IOC_QGROUP_LIMIT = 0x8030942b;
const IOC_QUOTA_RESCAN_WAIT = 0x942e;
const QUOTA_CTL_ENABLE = 1n;
const QGROUP_LIMIT_MAX_REFERENCED = 1n;
const QGROUP_LIMIT_MAX_EXCLUSIVE = 2n;
const VOLUME_ARGS_BYTES = 4096;
const VOLUME_NAME = 8;
const VOLUME_NAME_V2 = 56;
const MAX_NAME_BYTES = 255;
const INO_LOOKUP_BYTES = 4096;
const FIRST_FREE_OBJECTID = 256;
const SUPER_MAGIC = 0x9123683e;

/** Whether the file system at `path` is btrfs. */
export const isBtrfs = (path: Path): boolean => statfsSync(bytes(path)).type === SUPER_MAGIC;

const bytes = (path: Path): Buffer => (typeof path === "string" ? Buffer.from(path) : Buffer.from(path));
/** The folder that a path names something in, byte by byte. */
const folderOf = (path: Path): Buffer => Buffer.from(dirname(bytes(path).toString("latin1")), "latin1");

/** Whether the folder `path` is the root of a subvolume of btrfs. */
export function isSubvolume(path: Path): boolean {
  const stat = statSync(bytes(path), { throwIfNoEntry: false });
  return stat?.isDirectory() === true && stat.ino === FIRST_FREE_OBJECTID && isBtrfs(path);
}

/** Makes the folder `path`, which must not exist, as a subvolume: of the caller, mode 0755 less the umask. */
export const createSubvolume = (path: string): Promise<void> =>
  request(folderOf(path), { name: "make subvolume", number: IOC_SUBVOL_CREATE, argument: volumeArgs(path) });

/** Makes the folder `path`, which must not exist, as a writable snapshot of the subvolume `source`: it holds the same, and shares all of it. */
export async function snapshotSubvolume(source: string, path: string): Promise<void> {
  const argument = volumeArgs(path, VOLUME_NAME_V2);
  const from = openSync(source, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    argument.writeBigInt64LE(BigInt(from), 0);
    await request(folderOf(path), { name: `snapshot ${source} into`, number: IOC_SNAP_CREATE_V2, argument });
  } finally {
    closeSync(from);
  }
}

/**
 * Takes a subvolume away with all that is in it, and its quota group. The kernel frees the space in the background. Absent is an ENOENT
 * error.
 */
export async function deleteSubvolume(path: Path): Promise<void> {
  const group = quotaGroupOf(path);
  const argument = Buffer.alloc(16);
  argument.writeBigUInt64LE(group, 8);
  try {
    // Asked of the folder above: in a full subvolume even this would be refused.
    await request(folderOf(path), { name: "remove a quota group in", number: IOC_QGROUP_CREATE, argument });
  } catch (error) {
    // Without quotas there is none; from Linux 6.10 on it stays as long as the subvolume, and goes with it.
    if (!isErrno(error, "ENOTCONN", "ENOENT", "EBUSY")) throw error;
  }
  await request(folderOf(path), { name: "remove subvolume", number: IOC_SNAP_DESTROY, argument: volumeArgs(path) });
}

/**
 * Lets a subvolume hold at most so many bytes, its share of the file system's own tables included; more is refused with EDQUOT. With
 * `exclusive`, what it shares with other subvolumes does not count. Where the file system keeps no quotas yet it starts to, which takes a
 * while when much is in it already.
 */
export async function limitSubvolume(
  path: string,
  maxBytes: number,
  { exclusive = false }: { readonly exclusive?: boolean } = {},
): Promise<void> {
  const argument = Buffer.alloc(48); // for the quota group 0: the subvolume that is asked
  argument.writeBigUInt64LE(exclusive ? QGROUP_LIMIT_MAX_EXCLUSIVE : QGROUP_LIMIT_MAX_REFERENCED, 8);
  argument.writeBigUInt64LE(BigInt(maxBytes), exclusive ? 24 : 16);
  const limit = { name: "limit subvolume", number: IOC_QGROUP_LIMIT, argument };
  try {
    await request(path, limit);
  } catch (error) {
    if (!isErrno(error, "ENOTCONN")) throw error;
    await enableQuotas(path);
    await request(path, limit);
  }
}

async function enableQuotas(path: string): Promise<void> {
  const argument = Buffer.alloc(16);
  argument.writeBigUInt64LE(QUOTA_CTL_ENABLE);
  await request(path, { name: "start quotas on the file system of", number: IOC_QUOTA_CTL, argument });
  // Until all that was there before has been counted, limits would not hold.
  await request(path, { name: "wait for quotas of the file system of", number: IOC_QUOTA_RESCAN_WAIT, argument: null });
}

/** The group that the kernel makes with each subvolume has the subvolume's number. */
function quotaGroupOf(path: Path): bigint {
  const argument = Buffer.alloc(INO_LOOKUP_BYTES);
  argument.writeBigUInt64LE(BigInt(FIRST_FREE_OBJECTID), 8);
  const folder = openSync(bytes(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    check("number of subvolume", path, libc.ioctl(folder, IOC_INO_LOOKUP, argument));
  } finally {
    closeSync(folder);
  }
  return argument.readBigUInt64LE(0);
}

function volumeArgs(path: Path, offset = VOLUME_NAME): Buffer {
  const name = Buffer.from(basename(bytes(path).toString("latin1")), "latin1");
  if (name.length === 0 || name.length > MAX_NAME_BYTES || name.includes(0)) {
    throw new TripodError("invalid", `subvolume ${JSON.stringify(bytes(path).toString())}: not a usable name`);
  }
  const argument = Buffer.alloc(VOLUME_ARGS_BYTES);
  name.copy(argument, offset);
  return argument;
}
