import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, cString, libc, type Path } from "../libc.ts";
import { check } from "../system-call-error.ts";

const SECOND = 1_000_000_000n;
const UTIME_OMIT = (1n << 30n) - 2n;

export interface Timestamps {
  /** Nanoseconds since 1970; stays as it is when left out. */
  readonly accessedAtNs?: bigint;
  readonly modifiedAtNs?: bigint;
}

/** Sets the times of `path` itself (links are not followed) to the nanosecond, which fs.lutimes cannot. */
export function lutimesNs(path: Path, times: Timestamps): void {
  const packed = Buffer.alloc(32);
  for (const [index, time] of [times.accessedAtNs, times.modifiedAtNs].entries()) {
    // Division rounds towards zero, but before 1970 the nanoseconds still count forward.
    const nanoseconds = time === undefined ? UTIME_OMIT : ((time % SECOND) + SECOND) % SECOND;
    packed.writeBigInt64LE(time === undefined ? 0n : (time - nanoseconds) / SECOND, index * 16);
    packed.writeBigInt64LE(nanoseconds, index * 16 + 8);
  }
  check("utimensat", path, libc.utimensat(AT_FDCWD, cString(path), packed, AT_SYMLINK_NOFOLLOW));
}
