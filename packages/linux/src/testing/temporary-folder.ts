import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { mountInfo } from "../mounts/mount-info.ts";
import { unmount } from "../mounts/unmount.ts";

/** A folder under /tmp for one test; disposing of it unmounts whatever is mounted in it and removes it. */
export class TemporaryFolder implements Disposable {
  readonly path: string;

  constructor(name: string) {
    this.path = mkdtempSync(`/tmp/tripod-${name}-`);
  }

  /** A path in it. */
  join(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  [Symbol.dispose](): void {
    const inside = mountInfo().filter(
      ({ mountPoint }) => mountPoint === this.path || mountPoint.startsWith(`${this.path}/`),
    );
    for (const { mountPoint } of inside.reverse()) unmount(mountPoint, { detach: true });
    rmSync(this.path, { recursive: true, force: true });
  }
}
