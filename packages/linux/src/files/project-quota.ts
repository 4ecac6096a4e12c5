import { closeSync, constants, openSync } from "node:fs";
import { libc, type Pointer, SYS } from "../libc.ts";
import { check, isErrno } from "../system-call-error.ts";

/** include/uapi/linux/fs.h: struct fsxattr. */
const IOC_FSGETXATTR = 0x801c581f;
const IOC_FSSETXATTR = 0x401c5820;
const FSXATTR_BYTES = 28;
const FSXATTR_PROJECT = 12;
const XFLAG_PROJINHERIT = 0x200;
/** include/uapi/linux/quota.h and dqblk_xfs.h. */
const PRJQUOTA = 2;
const Q_GETQUOTA = 0x800007;
const Q_SETQUOTA = 0x800008;
const Q_XGETQSTATV = 0x5808;
const STATV_BYTES = 256;
const STATV_VERSION = 1;
const STATV_FLAGS = 2;
const PROJECTS_ENFORCED = 1 << 5;
/** struct if_dqblk. */
const DQBLK_BYTES = 72;
const DQBLK_USED_BYTES = 16;
const DQBLK_INODES = 40;
const DQBLK_VALID = 64;
const QIF_BLIMITS = 1;
const blockBytes = 1024n;
/** Above the numbers that people and other programs give: they count from 1, or from 2^20. */
const firstId = 2 ** 30;
const lastId = 2 ** 31;

/** A file's project: quotas count all files of a project together. */
export interface Project {
  /** 0 where nobody has given one. */
  readonly id: number;
  /** What is made in this folder is of its project, too. */
  readonly handsDown: boolean;
}

/** What the files of a project take, and may take. */
export interface ProjectUse {
  readonly usedBytes: bigint;
  readonly inodes: bigint;
  /** 0: without a limit. */
  readonly limitBytes: bigint;
}

/**
 * Whether the file system of `path` keeps projects within their limits and the caller may set these: ext4 with the features `project` and `quota`,
 * or xfs, mounted with `prjquota`, and CAP_SYS_ADMIN. Linux 5.14.
 */
export function hasProjectQuotas(path: string): boolean {
  const state = Buffer.alloc(STATV_BYTES);
  state.writeInt8(STATV_VERSION, 0);
  try {
    askQuota(path, { name: "quota state of", command: Q_XGETQSTATV, id: 0, argument: state });
    if ((state.readUInt16LE(STATV_FLAGS) & PROJECTS_ENFORCED) === 0) return false;
    projectUse(path, firstId);
    return true;
  } catch (error) {
    // No such call, none of the kind of file system, none of this one, none of ours.
    if (isErrno(error, "ENOSYS", "EOPNOTSUPP", "EINVAL", "ESRCH", "EPERM")) return false;
    throw error;
  }
}

/** The project of a file or a folder; ENOTTY or EOPNOTSUPP where the file system knows none. */
export function projectOf(path: string): Project {
  const attributes = ask(path, (fd) => fsxattr(path, fd));
  return {
    id: attributes.readUInt32LE(FSXATTR_PROJECT),
    handsDown: (attributes.readUInt32LE(0) & XFLAG_PROJINHERIT) !== 0,
  };
}

/** Gives a file or a folder, and what will be made in that, to the project `id`. What is in it already stays where it was. */
export function setProject(path: string, { id, handsDown }: Project): void {
  ask(path, (fd) => {
    const attributes = fsxattr(path, fd);
    const flags = attributes.readUInt32LE(0);
    attributes.writeUInt32LE((handsDown ? flags | XFLAG_PROJINHERIT : flags & ~XFLAG_PROJINHERIT) >>> 0, 0);
    attributes.writeUInt32LE(id, FSXATTR_PROJECT);
    check(`set project ${id} of`, path, libc.ioctl(fd, IOC_FSSETXATTR, attributes));
  });
}

/** The number of a project of the file system of `path` that has neither files nor a limit. */
export function unusedProject(path: string): number {
  for (;;) {
    const id = firstId + Math.floor(Math.random() * (lastId - firstId));
    const { usedBytes, inodes, limitBytes } = projectUse(path, id);
    if (usedBytes === 0n && inodes === 0n && limitBytes === 0n) return id;
  }
}

export function projectUse(path: string, id: number): ProjectUse {
  const use = Buffer.alloc(DQBLK_BYTES);
  try {
    askQuota(path, { name: `quota of project ${id} on`, command: Q_GETQUOTA, id, argument: use });
  } catch (error) {
    // What xfs says of a project that never had a file.
    if (!isErrno(error, "ENOENT")) throw error;
  }
  return {
    usedBytes: use.readBigUInt64LE(DQBLK_USED_BYTES),
    inodes: use.readBigUInt64LE(DQBLK_INODES),
    limitBytes: use.readBigUInt64LE(0) * blockBytes,
  };
}

/**
 * Lets the files of a project take so many bytes, rounded up to whole KiB, their folders included; 0n for as many as there are. More is refused,
 * with EDQUOT by ext4 and ENOSPC by xfs; ext4 lets whoever has CAP_SYS_RESOURCE write on. ESRCH where quotas are not counted.
 */
export function limitProject(path: string, id: number, bytes: bigint): void {
  const limit = Buffer.alloc(DQBLK_BYTES);
  const blocks = (bytes + blockBytes - 1n) / blockBytes;
  limit.writeBigUInt64LE(blocks, 0);
  limit.writeUInt32LE(QIF_BLIMITS, DQBLK_VALID);
  askQuota(path, { name: `limit project ${id} on`, command: Q_SETQUOTA, id, argument: limit });
}

interface QuotaRequest {
  /** What is asked, for the error. */
  readonly name: string;
  readonly command: number;
  readonly id: number;
  readonly argument: Pointer;
}

/** quotactl_fd(2). */
function askQuota(path: string, { name, command, id, argument }: QuotaRequest): void {
  const word = BigInt(command) * 256n + BigInt(PRJQUOTA);
  ask(path, (fd) => check(name, path, libc.syscall(SYS.quotactl_fd, fd, word, BigInt(id), argument, null)));
}

function fsxattr(path: string, fd: number): Buffer {
  const attributes = Buffer.alloc(FSXATTR_BYTES);
  check("project of", path, libc.ioctl(fd, IOC_FSGETXATTR, attributes));
  return attributes;
}

function ask<T>(path: string, use: (fd: number) => T): T {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}
