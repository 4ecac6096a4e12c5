import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * A program that runs crun where it works on every machine: crun 1.8 refuses "hybrid" hierarchies (version 1's controllers with version
 * 2's tree at /sys/fs/cgroup/unified beside them), so it sees a machine without that tree, in a mount namespace of its own.
 */
export function crunProgram(): { readonly path: string } & Disposable {
  const folder = mkdtempSync("/tmp/tripod-crun-");
  const path = join(folder, "crun");
  const inside = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec crun "$@"';
  writeFileSync(path, `#!/bin/sh\nexec unshare --mount sh -c '${inside}' crun "$@"\n`, { mode: 0o755 });
  return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}
