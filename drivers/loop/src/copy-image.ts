import { closeSync, constants, openSync } from "node:fs";
import { rm } from "node:fs/promises";
import { isTripodError, runCommand, TripodError } from "@tripod/base";
import { cloneFile, isErrno } from "@tripod/linux";

const copyTimeoutMs = 6 * 3_600_000;

/** Makes `target` share all of `source`'s blocks; false, and no target, where the file system cannot. */
export async function shareImage(source: string, target: string): Promise<boolean> {
  const from = openSync(source, constants.O_RDONLY);
  try {
    const to = openSync(target, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    try {
      cloneFile(from, to);
      return true;
    } finally {
      closeSync(to);
    }
  } catch (error) {
    if (!isErrno(error, "EOPNOTSUPP", "EINVAL", "EXDEV", "ENOTTY", "ENOSYS")) throw error;
    await rm(target, { force: true });
    return false;
  } finally {
    closeSync(from);
  }
}

/** Copies an image, holes as holes, in a process of its own: it may take as long as a large disk does. */
export async function copyImage(source: string, target: string): Promise<void> {
  try {
    await runCommand("cp", ["--sparse=always", "--reflink=never", "--no-target-directory", "--", source, target], {
      timeoutMs: copyTimeoutMs,
      env: { ...process.env, LC_ALL: "C" },
    });
  } catch (cause) {
    await rm(target, { force: true });
    if (isTripodError(cause, "internal") && cause.message.includes("No space left on device"))
      throw new TripodError("exhausted", `copy ${source}: no space left on device`, { cause });
    throw cause;
  }
}
