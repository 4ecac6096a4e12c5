import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { messageOf, TripodError } from "@tripod/base";
import { createSubvolume, isBtrfs, lsetxattr, mknod, unmount } from "@tripod/linux";
import { mountFuseOverlay } from "./fuse-overlay-mount.ts";
import { mountOverlay } from "./overlay-mount.ts";
import { removeHome } from "./remove-home.ts";
import { TemporaryFolders } from "./temporary-folders.ts";

/**
 * How layers become root file systems. overlay: by the kernel's overlayfs. fuse-overlayfs: by a process a container, where the kernel has none
 * or the disk's file system cannot carry it. native: each container has a copy, sharing contents where the file system can (reflinks).
 * btrfs: each container has a snapshot.
 */
export const snapshotterKinds = ["overlay", "native", "btrfs", "fuse-overlayfs"] as const;
export type SnapshotterKind = (typeof snapshotterKinds)[number];

/** What the problem is and what to do about it. */
export interface SnapshotterProblem {
  readonly problem: string;
  readonly remedy: string;
}

/** Why a snapshotter does not work in the folder `dir`, made when absent; undefined when it does. Tried, in a folder that goes again. */
export async function snapshotterProblem(kind: SnapshotterKind, dir: string): Promise<SnapshotterProblem | undefined> {
  const scratch = await new TemporaryFolders(dir).make();
  try {
    return (await trial(kind, { dir, scratch })) ?? (await layersProblem(scratch, dir));
  } finally {
    unmount(join(scratch, "target"), { detach: true });
    await removeHome(scratch);
  }
}

async function trial(
  kind: SnapshotterKind,
  { dir, scratch }: { readonly dir: string; readonly scratch: string },
): Promise<SnapshotterProblem | undefined> {
  if (kind === "native") return undefined;
  if (kind === "btrfs" && !isBtrfs(dir)) {
    return {
      problem: `${dir} is not on btrfs`,
      remedy: "mount a btrfs there (mkfs.btrfs), or set cri.snapshotter to overlay or native",
    };
  }
  try {
    if (kind === "btrfs") {
      await createSubvolume(join(scratch, "root"));
      return undefined;
    }
    for (const folder of ["lower", "upper", "work", "target"]) mkdirSync(join(scratch, folder));
    const [lower, upper, work] = [[join(scratch, "lower")], join(scratch, "upper"), join(scratch, "work")];
    const options = { lower, writable: { upper, work }, target: join(scratch, "target") };
    if (kind === "overlay") mountOverlay(options);
    else await mountFuseOverlay(options, scratch);
    mkdirSync(join(options.target, "written"));
    return undefined;
  } catch (error) {
    return { problem: messageOf(error), remedy: remedies[kind] };
  }
}

const remedies: Readonly<Record<Exclude<SnapshotterKind, "native">, string>> = {
  overlay:
    "modprobe overlay; if the folder is on an overlay, NFS or the like itself, put it on ext4, XFS or btrfs; or set cri.snapshotter to fuse-overlayfs or native",
  "fuse-overlayfs": "apt-get install fuse-overlayfs; modprobe fuse; or set cri.snapshotter to native",
  btrfs: "run as root; or set cri.snapshotter to overlay or native",
};

/** Layers are kept in overlayfs's terms, whoever makes root file systems of them. */
async function layersProblem(scratch: string, dir: string): Promise<SnapshotterProblem | undefined> {
  try {
    mknod(join(scratch, "whiteout"), { kind: "character", mode: 0 });
    lsetxattr(scratch, "trusted.overlay.opaque", { value: Buffer.from("y") });
    return undefined;
  } catch (error) {
    const problem = `the file system of ${dir} takes no layers: ${messageOf(error)}`;
    return { problem, remedy: "put the folder on ext4, XFS or btrfs; an overlay cannot hold layers" };
  }
}

/** A "failed-precondition" error that says why, and what to do, when the snapshotter does not work there. */
export async function checkSnapshotter(kind: SnapshotterKind, dir: string): Promise<void> {
  const found = await snapshotterProblem(kind, dir);
  if (found === undefined) return;
  throw new TripodError("failed-precondition", `snapshotter ${kind}: ${found.problem}; ${found.remedy}`);
}
