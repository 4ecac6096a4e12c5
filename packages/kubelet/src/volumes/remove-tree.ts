import { realpath, rm, rmdir } from "node:fs/promises";
import { isNodeError } from "@tripod/base";
import { mountInfo, unmount } from "@tripod/linux";

const detach = (path: string): boolean => unmount(path, { detach: true, noFollow: true });

/**
 * Takes away whatever is mounted right at the path. Not by asking first whether something is: of a mount whose server is gone, not even that
 * can be asked.
 */
export function detachAt(path: string): void {
  while (detach(path));
}

/** Takes away what is mounted at the path, and the empty folder or file that is left; a folder that is not empty stays, and is an error. */
export async function removeMountFolder(path: string): Promise<void> {
  detachAt(path);
  try {
    await rmdir(path);
  } catch (error) {
    if (isNodeError(error, "ENOTDIR")) await rm(path, { force: true });
    // Never recursively: were something still mounted, its data would go.
    else if (!isNodeError(error, "ENOENT")) throw error;
  }
}

/** Removes a folder of the kubelet's own with all that is in it. What is mounted there or below is detached first: no volume loses data. */
export async function removeTree(path: string): Promise<void> {
  let real: string;
  try {
    real = await realpath(path);
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return;
    throw error;
  }
  const mounted = (): string[] =>
    mountInfo()
      .map(({ mountPoint }) => mountPoint)
      .filter((each) => each === real || each.startsWith(`${real}/`));
  for (let left = mounted(); left.length > 0; left = mounted()) {
    // The one mounted last is the deepest, or lies over others.
    if (!left.toReversed().map(detach).includes(true)) break;
  }
  const [stuck] = mounted();
  if (stuck !== undefined) throw new Error(`remove ${path}: ${stuck} stays mounted; unmount it`);
  await rm(path, { recursive: true, force: true });
}
