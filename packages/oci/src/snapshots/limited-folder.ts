import { existsSync, mkdirSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { failpoint, TripodError } from "@tripod/base";
import {
  createSubvolume,
  isBtrfs,
  isMountPoint,
  limitSubvolume,
  mount,
  unmountAbandoned,
  withLoop,
} from "@tripod/linux";
import type { DiskUsage } from "../image.ts";
import { bytesPerFile, inodeBytes, makeFileSystem } from "./make-file-system.ts";

/** Less than this holds a file system's tables and nothing else. */
const leastBytes = 1024 * 1024;
/** A file on ext4 may not have 16 TiB. */
const mostBytes = 15 * 1024 ** 4;

/**
 * The folder in a writable's home that takes only so many bytes: a subvolume with a quota on btrfs, elsewhere a file system of its own on the
 * sparse file `disk` beside it.
 */
export const limitedFolderIn = (home: string): string => join(home, "limited");

const diskIn = (home: string): string => join(home, "disk");

/** Whether a writable can be kept within so many bytes. */
export const isWritableLimit = (maxSizeBytes: number): boolean =>
  Number.isSafeInteger(maxSizeBytes) && maxSizeBytes >= leastBytes && maxSizeBytes <= mostBytes;

/** Refuses a limit that nothing can hold. */
export function checkWritableLimit(maxSizeBytes: number): void {
  if (isWritableLimit(maxSizeBytes)) return;
  throw new TripodError(
    "invalid",
    `limit the writable layer to ${maxSizeBytes} bytes: a whole number from ${leastBytes} (1Mi) to ${mostBytes} (15Ti) is needed`,
  );
}

/** The file that holds the limited folder's file system, when there is one and it is not mounted, as after a reboot. */
export const unmountedDiskIn = (home: string): string | undefined =>
  existsSync(diskIn(home)) && !isMountPoint(limitedFolderIn(home)) ? diskIn(home) : undefined;

export interface LimitedFolder {
  /** What may be written to it. */
  readonly maxSizeBytes: number;
  /** What it holds beside that: a whole root file system, which containers see as it is. It is on a disk of its own, on btrfs too. */
  readonly holding?: DiskUsage;
}

/** Makes the limited folder of `home`, or what is missing of it; one that is there keeps the limit it has. */
export async function prepareLimitedFolder(home: string, { maxSizeBytes, holding }: LimitedFolder): Promise<void> {
  const folder = limitedFolderIn(home);
  if (holding === undefined && isBtrfs(home)) {
    if (!existsSync(folder)) await createSubvolume(folder);
    failpoint("oci.writable.subvolume-made");
    return await limitSubvolume(folder, maxSizeBytes);
  }
  const disk = diskIn(home);
  if (!existsSync(disk)) await makeDisk(disk, maxSizeBytes, holding);
  failpoint("oci.writable.disk-made");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (isMountPoint(folder)) return;
  // What is deleted inside gives its space back; nothing is flushed, as overlay-mount.ts explains.
  const data = "nobarrier,discard,noinit_itable";
  withLoop(disk, (device) => mount({ source: device, target: folder, type: "ext4", data }));
  failpoint("oci.writable.disk-mounted");
}

/** Named as it is to stay when it is whole. */
async function makeDisk(
  disk: string,
  maxSizeBytes: number,
  holding: DiskUsage = { bytes: 0, inodes: 0 },
): Promise<void> {
  const making = `${disk}.making`;
  await rm(making, { force: true });
  const file = await open(making, "wx", 0o600);
  try {
    await file.truncate(maxSizeBytes + holding.bytes + holding.inodes * inodeBytes);
  } finally {
    await file.close();
  }
  failpoint("oci.writable.disk-sized");
  await makeFileSystem(making, { inodes: Math.ceil(maxSizeBytes / bytesPerFile) + holding.inodes });
  await rename(making, disk);
}

/** Unmounts the limited folder of `home`, with which its loop device goes; what is in it is lost. None is no error. */
export async function releaseLimitedFolder(home: string): Promise<void> {
  // Before what it holds is lost by half: nobody is to find it again.
  if (existsSync(diskIn(home))) await rename(diskIn(home), `${diskIn(home)}.released`);
  while (await unmountAbandoned(limitedFolderIn(home)));
}
