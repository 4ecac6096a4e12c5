import { mkdirSync, rmdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { failpoint } from "@tripod/base";
import { cloneMount, isMountPoint, MOUNT_ATTR, unmount } from "@tripod/linux";

/** Where the clone stands in a writable's home. */
const shownIn = (home: string): string => join(home, "mapped");

/**
 * Gives `use` the folders `lower` of `dir` as a user namespace sees them: below an id-mapped, read-only clone of `dir`, and of each that is a
 * mount of its own. The clone stands only as long as `use` takes: overlays keep what they have opened, and cannot be id-mapped themselves.
 */
export async function withMappedLayers(
  home: string,
  {
    dir,
    lower,
    userNamespace,
  }: { readonly dir: string; readonly lower: readonly string[]; readonly userNamespace: string },
  use: (lower: readonly string[]) => void | Promise<void>,
): Promise<void> {
  const shown = shownIn(home);
  mkdirSync(shown, { recursive: true, mode: 0o700 });
  const options = { attributes: MOUNT_ATTR.RDONLY, userNamespace };
  try {
    cloneMount(dir, shown, options);
    const mapped = lower.map((layer) => {
      const at = join(shown, relative(dir, layer));
      // A layer that is served is a folder in a mount, for itself.
      for (const mounted of [layer, dirname(layer)]) {
        if (mounted !== dir && isMountPoint(mounted)) cloneMount(mounted, join(shown, relative(dir, mounted)), options);
      }
      return at;
    });
    failpoint("oci.layers.mapped");
    await use(mapped);
  } finally {
    releaseMappedLayers(home); // one more when a crash has left its own
    rmdirSync(shown);
  }
}

/** Takes away what a crash in the middle has left. */
export function releaseMappedLayers(home: string): void {
  while (unmount(shownIn(home), { detach: true, noFollow: true }));
}
