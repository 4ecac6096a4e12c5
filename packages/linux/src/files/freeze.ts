import { isErrno } from "../system-call-error.ts";
import { request } from "./file-system-request.ts";

/** include/uapi/linux/fs.h. */
const FIFREEZE = 0xc0045877;
const FITHAW = 0xc0045878;

/**
 * Brings all that was written to the file system mounted at `mountPoint` onto its device, whole, and keeps every writer waiting until
 * thawFileSystem(), whoever calls that. EBUSY when it is frozen already.
 */
export const freezeFileSystem = (mountPoint: string): Promise<void> =>
  request(mountPoint, { name: "freeze", number: FIFREEZE, argument: Buffer.alloc(4) });

/** Lets writers go on: false when the file system was not frozen. */
export async function thawFileSystem(mountPoint: string): Promise<boolean> {
  try {
    await request(mountPoint, { name: "thaw", number: FITHAW, argument: Buffer.alloc(4) });
    return true;
  } catch (error) {
    if (isErrno(error, "EINVAL")) return false;
    throw error;
  }
}
