import { libc } from "../libc.ts";
import { check } from "../system-call-error.ts";

/** Writes out all of the file system that holds the open file `fd`. Blocks its thread until the disk is done: for workers. */
export function syncFileSystem(fd: number): void {
  check("syncfs", `descriptor ${fd}`, libc.syncfs(fd));
}
