import { chmodSync, mkdirSync, rmdirSync, statSync } from "node:fs";
import { failpoint, isNodeError, TripodError } from "@tripod/base";
import { bindMount, mountInfo, setMountAttributes, unmount } from "@tripod/linux";
import type { Job } from "./job.ts";
import { withFolder } from "./safe-folders.ts";

/** Shows a folder of a share at `target`, complete or not at all. No link leads out of the share: none is followed. */
export function publishFolder(job: Extract<Job, { readonly kind: "publish" }>): void {
  const { dir, subDir, target, attributes, mode } = job;
  const published = withFolder(dir, subDir === "." ? "" : subDir, (folder) => {
    if (mode !== undefined && (statSync(folder).mode & 0o7777) !== mode) chmodSync(folder, mode);
    mkdirSync(target, { recursive: true, mode: 0o750 });
    failpoint("nfs.publish.target-made");
    bindMount(folder, target);
    try {
      if (attributes !== 0) setMountAttributes(target, { set: attributes });
    } catch (error) {
      unmount(target, { detach: true });
      throw error;
    }
    failpoint("nfs.publish.mounted");
    return true;
  });
  if (published === undefined)
    throw new TripodError("not-found", `publish folder ${subDir}: the share has no such folder`);
}

/** Takes away what is mounted at `target`, and the empty folder. */
export function unpublishFolder(target: string): void {
  while (mountInfo().some(({ mountPoint }) => mountPoint === target)) unmount(target, { detach: true, noFollow: true });
  failpoint("nfs.unpublish.unmounted");
  try {
    rmdirSync(target);
  } catch (error) {
    if (!isNodeError(error, "ENOENT")) throw error;
  }
}
