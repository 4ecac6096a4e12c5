import { rmSync } from "node:fs";
import { unmount } from "../mounts/unmount.ts";

/**
 * Takes away the pin at `path`; the namespace goes when nothing else (a process, a socket, a mount) holds it. Idempotent, also
 * after a crash between its steps or when it was pinned more than once.
 */
export function removeNamespace(path: string): void {
  while (unmount(path, { detach: true, noFollow: true }));
  rmSync(path, { force: true });
}
