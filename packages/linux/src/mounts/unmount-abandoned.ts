import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { isNodeError } from "@tripod/base";
import { libc } from "../libc.ts";
import { check } from "../system-call-error.ts";
import { isMountPoint } from "./mount-identity.ts";
import { unmount } from "./unmount.ts";

/** EXT4_IOC_SHUTDOWN (ext4.h), which xfs and f2fs have by the same number. */
const IOC_SHUTDOWN = 0x8004587d;
const SHUTDOWN_NOLOGFLUSH = 2;

/**
 * Takes away the topmost mount at `target` and with it all that its file system (ext4, xfs or f2fs) has not written yet: nobody will read it
 * again. So it costs no writing, and what it costs is off this thread. Who still has the file system open gets EIO. False when nothing is
 * mounted there.
 */
export async function unmountAbandoned(target: string): Promise<boolean> {
  if (!isMountPoint(target)) return false;
  const root = await open(target, constants.O_RDONLY | constants.O_DIRECTORY).catch((error: unknown) => {
    if (isNodeError(error, "ENOENT")) return undefined;
    throw error;
  });
  if (root === undefined) return false;
  try {
    // In this order, so that nobody who dies in between leaves a dead file system mounted.
    if (!unmount(target, { detach: true, noFollow: true })) return false;
    const flags = Buffer.alloc(4);
    flags.writeUInt32LE(SHUTDOWN_NOLOGFLUSH);
    check("shut down the file system of", target, libc.ioctl(root.fd, IOC_SHUTDOWN, flags));
    return true;
  } finally {
    await root.close();
  }
}
