import { closeSync, constants, openSync } from "node:fs";
import { libc, type Path } from "../libc.ts";
import { offThread } from "../off-thread.ts";
import { check } from "../system-call-error.ts";

export interface FileSystemRequest {
  /** What is asked, for the error. */
  readonly name: string;
  /** The ioctl's number. */
  readonly number: number;
  readonly argument: Buffer | null;
}

/**
 * Asks the file system of a folder by ioctl(2), off this thread, for a transaction of the file system may be waited for; on failure again on
 * it, for then errno is kept.
 */
export async function request(folder: Path, { name, number, argument }: FileSystemRequest): Promise<void> {
  const fd = openSync(Buffer.from(folder), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    if ((await offThread(libc.ioctl, fd, number, argument)) >= 0) return;
    check(name, folder, libc.ioctl(fd, number, argument));
  } finally {
    closeSync(fd);
  }
}
