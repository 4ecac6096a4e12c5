import { libc } from "../libc.ts";
import { check, isErrno } from "../system-call-error.ts";

const FALLOC_FL_KEEP_SIZE = 0x01;
const FALLOC_FL_PUNCH_HOLE = 0x02;
const FICLONE = 0x40049409;

export interface FileRange {
  /** 0 unless told. */
  readonly offsetBytes?: number;
  readonly lengthBytes: number;
}

/** Reserves the blocks of a range, so that writing there cannot run out of space; the file grows to hold it. */
export function allocate(fd: number, range: FileRange): void {
  check("fallocate", `descriptor ${fd}`, libc.fallocate(fd, 0, range.offsetBytes ?? 0, range.lengthBytes));
}

/** Gives the blocks of a range back; it reads as zeros from then on. */
export function punchHole(fd: number, range: FileRange): void {
  const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  check("fallocate (hole)", `descriptor ${fd}`, libc.fallocate(fd, mode, range.offsetBytes ?? 0, range.lengthBytes));
}

/**
 * Makes `target` share all of `source`'s blocks until either is written (a reflink). EOPNOTSUPP, EINVAL or EXDEV where the file
 * system cannot: fall back to copying.
 */
export function cloneFile(source: number, target: number): void {
  check("FICLONE", `descriptor ${target}`, libc.ioctl(target, FICLONE, BigInt(source)));
}

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** Where the next byte is, at `offset` or after it, that is no part of a hole; undefined when there is none. */
export const nextData = (fd: number, offset: number): number | undefined => seek(fd, offset, SEEK_DATA);

/** Where the next hole begins, at `offset` or after it; at the latest at the file's end, past which it is undefined. */
export const nextHole = (fd: number, offset: number): number | undefined => seek(fd, offset, SEEK_HOLE);

function seek(fd: number, offset: number, whence: number): number | undefined {
  try {
    return check("lseek", `descriptor ${fd}`, Number(libc.lseek(fd, offset, whence)));
  } catch (error) {
    if (isErrno(error, "ENXIO")) return undefined;
    throw error;
  }
}
