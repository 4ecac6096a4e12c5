import { libc } from "../libc.ts";
import { check, isErrno } from "../system-call-error.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;

/** Takes flock(2)'s exclusive lock on an open file without waiting; it goes with the descriptor. False when another holds it. */
export function tryLockDescriptor(fd: number): boolean {
  try {
    check("flock", `descriptor ${fd}`, libc.flock(fd, LOCK_EX | LOCK_NB));
    return true;
  } catch (error) {
    if (isErrno(error, "EAGAIN", "EWOULDBLOCK")) return false;
    throw error;
  }
}
