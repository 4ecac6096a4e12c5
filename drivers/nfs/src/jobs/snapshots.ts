import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { failpoint, isNodeError, randomHex, TripodError, writeFileAtomicSync } from "@tripod/base";
import { ownFolder } from "../volume-id.ts";
import { copyTree } from "./copy-tree.ts";
import type { Job, Progress, SnapshotRecord } from "./job.ts";
import { ownFolderOf } from "./own-folder.ts";
import { withFolder } from "./safe-folders.ts";

type JobOf<K extends Job["kind"]> = Extract<Job, { readonly kind: K }>;

const plainName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
/** A snapshot's folder bears its name, so that people find it on the server. */
const folderOf = (name: string): string =>
  plainName.test(name) ? name : `sha256-${createHash("sha256").update(name).digest("hex")}`;

/** Where in the share a snapshot's content is. */
export const snapshotData = (name: string): string => `${ownFolder}/snapshots/${folderOf(name)}/data`;

/** Copies a volume's folder. The snapshot is there when its folder is: it is moved to its place when whole. */
export function takeSnapshot(job: JobOf<"snapshot">, onProgress: (progress: Progress) => void): void {
  const { dir, name, subDir, record } = job;
  const making = join(ownFolderOf(dir, "making"), `snapshot-${folderOf(name)}`);
  rmSync(making, { recursive: true, force: true });
  mkdirSync(making, { mode: 0o700 });
  const copied = withFolder(dir, subDir, (at) => {
    copyTree(at, join(making, "data"), onProgress);
    return true;
  });
  if (copied === undefined) throw new TripodError("not-found", `take snapshot ${name}: the volume's folder is gone`);
  writeFileAtomicSync(join(making, "snapshot.json"), JSON.stringify(record));
  failpoint("nfs.snapshot.copied");
  renameSync(making, join(ownFolderOf(dir, "snapshots"), folderOf(name)));
  failpoint("nfs.snapshot.moved");
}

export function lookAtSnapshot({
  dir,
  name,
}: {
  readonly dir: string;
  readonly name: string;
}): SnapshotRecord | undefined {
  try {
    const text = readFileSync(join(ownFolderOf(dir, "snapshots"), folderOf(name), "snapshot.json"), "utf8");
    return JSON.parse(text) as SnapshotRecord; // in a folder of root's alone
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return undefined;
    throw error;
  }
}

export function removeSnapshot({ dir, name }: JobOf<"remove-snapshot">): void {
  const removing = join(ownFolderOf(dir, "deleting"), randomHex(16));
  rmSync(join(ownFolderOf(dir, "making"), `snapshot-${folderOf(name)}`), { recursive: true, force: true });
  try {
    renameSync(join(ownFolderOf(dir, "snapshots"), folderOf(name)), removing);
  } catch (error) {
    if (!isNodeError(error, "ENOENT")) throw error;
  }
  failpoint("nfs.delete-snapshot.moved");
  rmSync(removing, { recursive: true, force: true });
}
