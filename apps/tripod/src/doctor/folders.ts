import { accessSync, constants, statfsSync } from "node:fs";
import { type Layout } from "@tripod/base";
import { type Check, fail, ok, warn } from "./check.ts";
import { nearestFolder } from "./nearest-folder.ts";

const MIB = 2 ** 20;
/** Below this a pull of an ordinary image fails; below the other the kubelet starts to evict. */
const LEAST_BYTES = 256 * MIB;
const GOOD_BYTES = 2048 * MIB;
const GOOD_SHARE = 0.1;
/** The kernel's limit of a unix socket's path, without the NUL at its end. */
const SOCKET_PATH_BYTES = 107;

export function folderChecks(layout: Layout): Check[] {
  return [...writableChecks(layout), socketPathCheck(layout), diskCheck(layout)];
}

function writableChecks(layout: Layout): Check[] {
  const folders = {
    configuration: layout.etcDir,
    state: layout.libDir,
    runtime: layout.runDir,
    kubelet: layout.kubeletDir,
    "CNI configuration": layout.cniConfDir,
    "CNI plugins": layout.cniBinDir,
    "Pod logs": layout.podLogsDir,
  };
  const refused: string[] = [];
  for (const [what, folder] of Object.entries(folders)) {
    try {
      accessSync(nearestFolder(folder), constants.W_OK | constants.X_OK);
    } catch (error) {
      // accessSync throws ErrnoExceptions.
      refused.push(`${what} ${folder} (${(error as NodeJS.ErrnoException).code})`);
    }
  }
  return [
    refused.length === 0
      ? ok("folders", `${layout.libDir}, ${layout.runDir} and the rest can be written`)
      : fail(
          "folders",
          `cannot be written: ${refused.join(", ")}`,
          "run as root, or choose a writable place with --root DIR",
        ),
  ];
}

/** Unix sockets have short paths: a deep root makes them too long. */
export function socketPathCheck(layout: Layout): Check {
  const longest = `${layout.pluginsRegistryDir}/hostpath.csi.tripod.dev-reg.sock`;
  const bytes = Math.max(Buffer.byteLength(layout.criSocket), Buffer.byteLength(longest));
  return bytes <= SOCKET_PATH_BYTES
    ? ok("socket paths", `at most ${bytes} of ${SOCKET_PATH_BYTES} bytes`)
    : fail("socket paths", `${longest} has ${bytes} bytes of at most ${SOCKET_PATH_BYTES}`, "choose a shorter --root");
}

function diskCheck(layout: Layout): Check {
  const folder = nearestFolder(layout.libDir);
  const { bavail, blocks, bsize, ffree, files } = statfsSync(folder);
  return judgeDisk({
    folder,
    freeBytes: bavail * bsize,
    totalBytes: blocks * bsize,
    // btrfs and others count no inodes.
    freeInodeShare: files === 0 ? 1 : ffree / files,
  });
}

export interface DiskUse {
  readonly folder: string;
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** 0 to 1. */
  readonly freeInodeShare: number;
}

/** Judges the room for images and volumes. */
export function judgeDisk(use: DiskUse): Check {
  const name = "disk";
  const share = use.totalBytes === 0 ? 0 : use.freeBytes / use.totalBytes;
  const found = `${Math.floor(use.freeBytes / MIB)} MiB (${Math.floor(share * 100)}%) and ${Math.floor(use.freeInodeShare * 100)}% of inodes free at ${use.folder}`;
  const remedy = "remove images (tripod image rm) or other files, or put --root on a larger disk";
  if (use.freeBytes < LEAST_BYTES || use.freeInodeShare < 0.01) return fail(name, found, remedy);
  if (use.freeBytes < GOOD_BYTES || share < GOOD_SHARE || use.freeInodeShare < GOOD_SHARE)
    return warn(name, found, remedy);
  return ok(name, found);
}
