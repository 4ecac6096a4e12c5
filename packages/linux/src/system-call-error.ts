import { type ErrorCode, TripodError } from "@tripod/base";
import koffi from "koffi";

/** The names this package tells apart by code; every other errno is "internal". */
const codes: Readonly<Record<string, ErrorCode>> = {
  EEXIST: "already-exists",
  EADDRINUSE: "already-exists",
  ENOENT: "not-found",
  ENODEV: "not-found",
  ENXIO: "not-found",
  ESRCH: "not-found",
  ENODATA: "not-found",
  EADDRNOTAVAIL: "not-found",
  EPERM: "permission-denied",
  EACCES: "permission-denied",
  EROFS: "permission-denied",
  EBUSY: "failed-precondition",
  ENOTEMPTY: "failed-precondition",
  ENOTDIR: "failed-precondition",
  EISDIR: "failed-precondition",
  ENETDOWN: "failed-precondition",
  ENETUNREACH: "failed-precondition",
  EHOSTUNREACH: "failed-precondition",
  ETXTBSY: "failed-precondition",
  EXDEV: "failed-precondition",
  ELOOP: "failed-precondition",
  ENOSPC: "exhausted",
  EDQUOT: "exhausted",
  EMFILE: "exhausted",
  ENFILE: "exhausted",
  ENOMEM: "exhausted",
  ENOBUFS: "exhausted",
  EFBIG: "exhausted",
  EINVAL: "invalid",
  ENAMETOOLONG: "invalid",
  EBADF: "invalid",
  ERANGE: "out-of-range",
  EOVERFLOW: "out-of-range",
  EAGAIN: "unavailable",
  EINTR: "unavailable",
  ENOSYS: "unimplemented",
  EOPNOTSUPP: "unimplemented",
  ENOTTY: "unimplemented",
  EPROTONOSUPPORT: "unimplemented",
  EAFNOSUPPORT: "unimplemented",
  ETIMEDOUT: "timeout",
};

const names = new Map<number, string>();
for (const [name, number] of Object.entries(koffi.os.errno)) {
  // Where two names share a number, the one in the table above is the one that callers compare with.
  if (!names.has(number) || name in codes) names.set(number, name);
}

/** "EBUSY" for 16; "E?999" for a number that this C library does not name. */
export const errnoName = (errno: number): string => names.get(errno) ?? `E?${errno}`;

/** A system call that the kernel refused. `errno` is its name, e.g. "EBUSY". */
export class SystemCallError extends TripodError {
  readonly errno: string;
  /** What was called: "mount", "RTM_NEWLINK". */
  readonly syscall: string;
  /** What it was called on: a path, a link's name, an address. */
  readonly object: string;

  /** `reason`: the kernel's own words, where it gave any. */
  constructor(syscall: string, object: string, errno: string, reason?: string) {
    const words = reason === undefined ? errno : `${reason} (${errno})`;
    super(codes[errno] ?? "internal", `${syscall} ${object}: ${words}`, { detail: { syscall, object, errno } });
    this.name = "SystemCallError";
    this.errno = errno;
    this.syscall = syscall;
    this.object = object;
  }
}

/** True for a SystemCallError, and, where names are given, only for one of them: `isErrno(error, "EBUSY")`. */
export function isErrno(error: unknown, ...wanted: string[]): error is SystemCallError {
  return error instanceof SystemCallError && (wanted.length === 0 || wanted.includes(error.errno));
}

/** Passes on what a C function returned, or throws what errno says when that is negative. Call it on the result at once. */
export function check(syscall: string, object: string | Uint8Array, result: number): number {
  if (result >= 0) return result;
  const errno = koffi.errno();
  throw new SystemCallError(
    syscall,
    typeof object === "string" ? object : Buffer.from(object).toString(),
    errnoName(errno),
  );
}
