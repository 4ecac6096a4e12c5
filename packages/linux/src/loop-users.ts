import { closeSync, constants, openSync, readFileSync, statSync } from "node:fs";
import { basename } from "node:path";
import { isNodeError } from "@tripod/base";
import { libc } from "./libc.ts";
import { loopDevices } from "./loop-devices.ts";
import { check, isErrno } from "./system-call-error.ts";

/** include/uapi/linux/loop.h. */
const LOOP_GET_STATUS64 = 0x4c05;
const LOOP_SET_DIRECT_IO = 0x4c08;
const STATUS_BYTES = 232;
const INODE = 8;

/** A loop device that shows a file. */
export interface LoopOfFile {
  /** "/dev/loop3". */
  readonly path: string;
  readonly readOnly: boolean;
}

/**
 * The loop devices that show `file`, told by its inode: another mount namespace may know another file by the same path. None when there is no
 * such file.
 */
export function loopsOf(file: string): LoopOfFile[] {
  const found = statSync(file, { throwIfNoEntry: false, bigint: true });
  if (found === undefined) return [];
  const name = basename(file);
  return loopDevices().flatMap(({ path, backingFile }) => {
    if (basename(backingFile) !== name) return []; // spares opening all of them
    const shown = backingOf(path);
    if (shown === undefined || shown.device !== found.dev || shown.inode !== found.ino) return [];
    return [{ path, readOnly: isReadOnly(path) }];
  });
}

const isReadOnly = (path: string): boolean => readFileSync(`/sys/block/${basename(path)}/ro`, "utf8").trim() === "1";

/** The file that a loop device shows; undefined for one that is free. */
function backingOf(path: string): { readonly device: bigint; readonly inode: bigint } | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY);
  } catch (error) {
    if (isNodeError(error, "ENOENT", "ENXIO")) return undefined;
    throw error;
  }
  try {
    const status = Buffer.alloc(STATUS_BYTES);
    check("LOOP_GET_STATUS64", path, libc.ioctl(fd, LOOP_GET_STATUS64, status));
    return { device: status.readBigUInt64LE(0), inode: status.readBigUInt64LE(INODE) };
  } catch (error) {
    if (isErrno(error, "ENXIO")) return undefined;
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** Lets a loop device in use read and write past the page cache, or through it again. EINVAL where its file system cannot. */
export function setLoopDirectIo(path: string, directIo: boolean): void {
  const fd = openSync(path, constants.O_RDWR);
  try {
    check("LOOP_SET_DIRECT_IO", path, libc.ioctl(fd, LOOP_SET_DIRECT_IO, BigInt(directIo ? 1 : 0)));
  } finally {
    closeSync(fd);
  }
}
