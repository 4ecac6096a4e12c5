import { relative } from "node:path";
import { isTripodError, messageOf, runCommand, TripodError } from "@tripod/base";
import type { OverlayMountOptions } from "./overlay-mount.ts";

/** It answers once the file system is mounted, or at once why not. */
const mountTimeoutMs = 60_000;

/**
 * Mounts an overlay by fuse-overlayfs: a process a mount that outlives this one and ends with the mount. Whiteouts and opaque folders are
 * overlayfs's own. Folders below `dir` are named relative to it, so that nothing in them can be taken for a separator of options.
 */
export async function mountFuseOverlay({ lower, writable, target }: OverlayMountOptions, dir: string): Promise<void> {
  const inside = (path: string): string => relative(dir, path);
  const options = [
    `lowerdir=${lower.map(inside).join(":")}`,
    ...(writable === undefined
      ? ["ro", "nosuid", "nodev"]
      : [`upperdir=${inside(writable.upper)}`, `workdir=${inside(writable.work)}`, "volatile"]),
    ...(writable?.writeThrough === true ? ["writeback=0"] : []),
  ];
  try {
    await runCommand("fuse-overlayfs", ["-o", options.join(","), target], { cwd: dir, timeoutMs: mountTimeoutMs });
  } catch (cause) {
    const what = `mount ${target}`;
    if (isTripodError(cause, "not-found")) {
      throw new TripodError("failed-precondition", `${what}: there is no fuse-overlayfs; install it`, { cause });
    }
    throw new TripodError("internal", `${what}: ${messageOf(cause)}`, { cause });
  }
}
