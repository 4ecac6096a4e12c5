import { chmodSync, readdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { failpoint, isNodeError, randomHex, TripodError } from "@tripod/base";
import { copyTree } from "./copy-tree.ts";
import type { Job, Progress } from "./job.ts";
import { ownFolderOf } from "./own-folder.ts";
import { makeFolder, withFolder } from "./safe-folders.ts";
import { isShared, makingOf, readRecord, removeRecord, type VolumeKey, writeRecord } from "./share-records.ts";
import { snapshotData } from "./snapshots.ts";

type JobOf<K extends Job["kind"]> = Extract<Job, { readonly kind: K }>;

/** Whether the volume's folder is there. */
export const lookAtVolume = ({ dir, subDir }: VolumeKey): boolean => withFolder(dir, subDir, () => true) ?? false;

/** Makes the volume's folder and its record. Asked for again after a crash, it goes on. */
export function makeVolume(job: JobOf<"make">, onProgress: (progress: Progress) => void): void {
  const { dir, subDir, record, source, mode } = job;
  if (source === undefined) {
    makeFolder(dir, subDir, (at) => {
      if (mode !== undefined) chmodSync(at, mode);
    });
    failpoint("nfs.create.folder-made");
    writeRecord(job, record);
    failpoint("nfs.create.recorded");
    return;
  }
  const making = makingOf(job);
  if (readRecord(job) === undefined) {
    if (withFolder(dir, subDir, (at) => readdirSync(at).length > 0) === true)
      throw new TripodError("already-exists", `make volume ${subDir}: there is a folder of that name, with content`);
    rmSync(making, { recursive: true, force: true });
    writeRecord(job, { ...record, state: "making" });
    failpoint("nfs.create.begun");
  } else if (!exists(making) && withFolder(dir, subDir, () => true) === true) {
    writeRecord(job, record); // moved there, but not recorded
    return;
  }
  rmSync(making, { recursive: true, force: true });
  const from = source.kind === "volume" ? source.subDir : snapshotData(source.name);
  const copied = withFolder(dir, from, (at) => {
    copyTree(at, making, onProgress);
    return true;
  });
  if (copied === undefined)
    throw new TripodError("not-found", `make volume ${subDir}: its source ${source.kind} is gone`);
  if (mode !== undefined) chmodSync(making, mode);
  failpoint("nfs.create.copied");
  const above = dirname(subDir);
  const put = (at: string): void => renameSync(making, join(at, subDir.slice(subDir.lastIndexOf("/") + 1)));
  if (above === ".") put(dir);
  else makeFolder(dir, above, put);
  failpoint("nfs.create.moved");
  writeRecord(job, record);
  failpoint("nfs.create.recorded");
}

/** Takes the volume away as its class says, and what earlier removals that were cut short have left. */
export function removeVolume(job: JobOf<"remove">): void {
  const { dir, subDir, onDelete } = job;
  rmSync(makingOf(job), { recursive: true, force: true });
  const name = subDir.slice(subDir.lastIndexOf("/") + 1);
  const above = dirname(subDir) === "." ? "" : dirname(subDir);
  if (onDelete !== "retain" && !isShared(job) && withFolder(dir, subDir, () => true) === true) {
    withFolder(dir, above, (at) => {
      const to =
        onDelete === "delete" ? join(ownFolderOf(dir, "deleting"), randomHex(16)) : freeName(at, `archived-${name}`);
      renameSync(`${at}/${name}`, to);
    });
    failpoint("nfs.delete.moved");
  }
  removeRecord(job);
  failpoint("nfs.delete.forgotten");
  const deleting = ownFolderOf(dir, "deleting");
  for (const left of readdirSync(deleting)) rmSync(join(deleting, left), { recursive: true, force: true });
}

/** An archive never takes the place of another. */
function freeName(at: string, name: string): string {
  for (let number = 0; ; number += 1) {
    const path = `${at}/${name}${number === 0 ? "" : `-${number}`}`;
    if (!exists(path)) return path;
  }
}

function exists(path: string): boolean {
  try {
    readdirSync(path);
    return true;
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return false;
    if (isNodeError(error, "ENOTDIR", "ELOOP")) return true;
    throw error;
  }
}
