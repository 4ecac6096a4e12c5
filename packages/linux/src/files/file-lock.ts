import { closeSync, constants, openSync } from "node:fs";
import { libc } from "../libc.ts";
import { check, isErrno } from "../system-call-error.ts";

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

/** A lock that is held until disposed of, or until the process ends however it ends. */
export class FileLock implements Disposable {
  #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Takes flock(2)'s lock on the file (made when absent) without waiting; undefined when another process or lock holds it.
   * `readOnly` opens it for reading, which is enough for a lock except on NFS, and all that a namespace's file allows.
   */
  static tryAcquire(
    path: string,
    options: { readonly shared?: boolean; readonly readOnly?: boolean } = {},
  ): FileLock | undefined {
    const fd = openSync(
      path,
      (options.readOnly === true ? constants.O_RDONLY : constants.O_RDWR) | constants.O_CREAT,
      0o600,
    );
    try {
      check("flock", path, libc.flock(fd, (options.shared === true ? LOCK_SH : LOCK_EX) | LOCK_NB));
      return new FileLock(fd);
    } catch (error) {
      closeSync(fd);
      if (isErrno(error, "EAGAIN", "EWOULDBLOCK")) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}
