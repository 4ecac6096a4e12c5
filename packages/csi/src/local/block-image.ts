import { statSync } from "node:fs";
import { open } from "node:fs/promises";
import { allocate, attachLoop, detachLoop, loopsOf, mountInfo, refreshLoopSize } from "@tripod/linux";

const loopMajor = 7;

/** The loop device that shows `image`, attached when there is none yet; readers get one that refuses to write. */
export function openImage(image: string, { readonly }: { readonly readonly: boolean }): string {
  return loopsOf(image).find((each) => each.readOnly === readonly)?.path ?? attachLoop(image, { readOnly: readonly });
}

/** Lets every loop device of `image` go, at once or when its last user does. */
export function closeImage(image: string): void {
  for (const { path } of loopsOf(image)) detachLoop(path);
}

/** Whether what is mounted at `path` is `image`: its loop device, or the file system on it. */
export function showsImage(image: string, path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return false;
  const device = found.isBlockDevice() ? deviceOfNumber(found.rdev) : deviceMountedAt(path);
  return device !== undefined && loopsOf(image).some((each) => each.path === device);
}

/** "/dev/loop3" for its number; undefined for a device of another kind. */
function deviceOfNumber(number: number): string | undefined {
  const major = (number >> 8) & 0xfff;
  const minor = (number & 0xff) | ((number >> 12) & 0xfff00);
  return major === loopMajor ? `/dev/loop${minor}` : undefined;
}

const deviceMountedAt = (path: string): string | undefined =>
  mountInfo().findLast(({ mountPoint }) => mountPoint === path)?.source;

/** Makes `image` as large as told, sparse or with its blocks reserved; devices that show it grow with it. It never shrinks. */
export async function sizeImage(
  image: string,
  { bytes, reserve }: { readonly bytes: bigint; readonly reserve: boolean },
): Promise<void> {
  const file = await open(image, "r+");
  try {
    if ((await file.stat()).size < Number(bytes)) await file.truncate(Number(bytes));
    if (reserve) allocate(file.fd, { lengthBytes: Number(bytes) });
    await file.sync();
  } finally {
    await file.close();
  }
  for (const { path } of loopsOf(image)) refreshLoopSize(path);
}
