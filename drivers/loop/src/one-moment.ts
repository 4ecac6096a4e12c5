import { closeSync, constants, fsyncSync, openSync } from "node:fs";
import { failpoint, TripodError } from "@tripod/base";
import { freezeFileSystem, isErrno, loopsOf, thawFileSystem } from "@tripod/linux";
import { copyImage, shareImage } from "./copy-image.ts";
import { mountPointsOf } from "./image-mount.ts";

export interface ImageCopy {
  readonly source: string;
  /** Its users have the device itself, not a file system on it. */
  readonly isBlock: boolean;
  readonly target: string;
}

/**
 * Copies images that may be in use, all as they are at one moment: their file systems are frozen until that is done. A block device in use
 * cannot be frozen; where blocks cannot be shared its copy would be of no moment, and is refused.
 */
export async function copyAtOneMoment(copies: readonly ImageCopy[]): Promise<void> {
  await using frozen = new AsyncDisposableStack();
  for (const { source } of copies) {
    const [mountPoint] = mountPointsOf(source);
    if (mountPoint === undefined) flushDevices(source);
    else if (await freeze(mountPoint)) frozen.defer(async () => void (await thawFileSystem(mountPoint)));
  }
  failpoint("loop.snapshot.frozen");
  const slow: ImageCopy[] = [];
  for (const copy of copies) if (!(await shareImage(copy.source, copy.target))) slow.push(copy);
  // Of a file system that nobody has mounted a device may be left for a moment; it is whole.
  for (const { source, isBlock } of slow)
    if (isBlock && loopsOf(source).length > 0)
      throw new TripodError(
        "failed-precondition",
        `copy ${source}: it is in use as a block device, and its disk cannot share blocks; end its users, or keep volumes on xfs or btrfs`,
      );
  await Promise.all(slow.map(({ source, target }) => copyImage(source, target)));
}

/** False when it is frozen already, by somebody who will thaw it. */
async function freeze(mountPoint: string): Promise<boolean> {
  try {
    await freezeFileSystem(mountPoint);
    return true;
  } catch (error) {
    if (isErrno(error, "EBUSY")) return false;
    throw error;
  }
}

/** What was written to block devices of the image reaches the image. */
function flushDevices(image: string): void {
  for (const { path } of loopsOf(image)) {
    const device = openSync(path, constants.O_RDONLY);
    try {
      fsyncSync(device);
    } finally {
      closeSync(device);
    }
  }
}

/** Thaws what a killed process may have left frozen. */
export async function thawImage(image: string): Promise<void> {
  const [mountPoint] = mountPointsOf(image);
  if (mountPoint !== undefined) await thawFileSystem(mountPoint);
}
