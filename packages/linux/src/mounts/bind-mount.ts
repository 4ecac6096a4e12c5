import type { Path } from "../libc.ts";
import { isErrno } from "../system-call-error.ts";
import { mount, setPropagation } from "./mount.ts";
import { MOUNT_ATTR, setMountAttributes } from "./mount-attributes.ts";
import { MS, type Propagation } from "./mount-flags.ts";
import { unmount } from "./unmount.ts";

export interface BindMountOptions {
  /** With all mounts below the source; false unless told. */
  readonly recursive?: boolean;
  /** Read-only through this mount, with `recursive` everything below it too. */
  readonly readOnly?: boolean;
  readonly propagation?: Propagation;
}

/**
 * Shows `source` (a folder or a file) at `target` (of the same sort). Nothing stays mounted when a later step fails.
 * Paths below an untrusted folder belong opened with openInRoot() and passed as /proc/self/fd/N.
 */
export function bindMount(source: Path, target: Path, options: BindMountOptions = {}): void {
  const recursive = options.recursive === true;
  mount({ source, target, flags: MS.BIND | (recursive ? MS.REC : 0) });
  try {
    if (options.propagation !== undefined) setPropagation(target, options.propagation, { recursive });
    if (options.readOnly === true) makeReadOnly(target, recursive);
  } catch (error) {
    unmount(target, { detach: true });
    throw error;
  }
}

function makeReadOnly(target: Path, recursive: boolean): void {
  try {
    setMountAttributes(target, { set: MOUNT_ATTR.RDONLY, recursive });
  } catch (error) {
    // Before Linux 5.12 a remount does it, for one mount only.
    if (recursive || !isErrno(error, "ENOSYS")) throw error;
    mount({ target, flags: MS.BIND | MS.REMOUNT | MS.RDONLY });
  }
}
