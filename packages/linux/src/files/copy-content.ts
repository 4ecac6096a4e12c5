import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import type { Path } from "../libc.ts";
import { isErrno } from "../system-call-error.ts";
import { cloneFile, nextData, nextHole } from "./file-space.ts";

const PIECE_BYTES = 1024 * 1024;

/**
 * Makes `target`, which must not exist, with the content of the file `source`: sharing its blocks where the file system can (true), else by
 * copying (false); holes stay holes. Owner, times and attributes are the caller's to set; mode 0600. Blocks: for workers.
 */
export function copyContent(source: Path, target: Path): boolean {
  const from = openSync(bytes(source), constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const to = openSync(bytes(target), flags, 0o600);
    try {
      const { size } = fstatSync(from);
      if (size === 0) return true;
      if (clone(from, to)) return true;
      copyData(from, to, size);
      ftruncateSync(to, size);
      return false;
    } finally {
      closeSync(to);
    }
  } finally {
    closeSync(from);
  }
}

const bytes = (path: Path): Buffer => (typeof path === "string" ? Buffer.from(path) : Buffer.from(path));

function clone(from: number, to: number): boolean {
  try {
    cloneFile(from, to);
    return true;
  } catch (error) {
    if (isErrno(error, "EOPNOTSUPP", "EINVAL", "EXDEV", "ENOTTY", "EPERM", "ENOSYS")) return false;
    throw error;
  }
}

function copyData(from: number, to: number, size: number): void {
  const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, size));
  for (let start = nextData(from, 0); start !== undefined; ) {
    const end = nextHole(from, start) ?? size;
    for (let at = start; at < end; ) {
      const read = readSync(from, piece, 0, Math.min(piece.length, end - at), at);
      if (read === 0) return; // somebody has cut it meanwhile
      for (let done = 0; done < read; ) done += writeSync(to, piece, done, read - done, at + done);
      at += read;
    }
    start = nextData(from, end);
  }
}
