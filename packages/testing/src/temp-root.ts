import { mkdtempSync, rmSync } from "node:fs";
import { type Layout, layoutOf } from "@tripod/base";
import { mountInfo, unmount } from "@tripod/linux";

/** A folder for one test, short enough for unix sockets below it. */
export interface TempRoot extends AsyncDisposable {
  /** "/tmp/tripod-XXXXXX". */
  readonly path: string;
  /** The layout of an instance with this root. */
  readonly layout: Layout;
}

/** Makes a folder that goes away when disposed of, after whatever is mounted below it. */
export function tempRoot(): TempRoot {
  const path = mkdtempSync("/tmp/tripod-");
  return {
    path,
    layout: layoutOf(path),
    async [Symbol.asyncDispose]() {
      unmountBelow(path);
      rmSync(path, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** Unmounts everything below a folder, the last mounted first. Returns what was mounted. */
export function unmountBelow(path: string): string[] {
  const targets = mountInfo()
    .map((entry) => entry.mountPoint)
    .filter((target) => target === path || target.startsWith(`${path}/`))
    .toReversed();
  for (const target of targets) unmount(target, { detach: true });
  return targets;
}
