import { chmodSync, chownSync, closeSync, fstatSync, lchownSync, type Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isErrno, O_PATH, openInRoot } from "@tripod/linux";

export interface FsGroupOptions {
  readonly fsGroup: number;
  readonly readOnly?: boolean;
  /** "OnRootMismatch" looks at the volume's root alone and passes over the rest when that is right already. */
  readonly policy?: string | undefined;
  readonly signal?: AbortSignal;
}

const groupReadWrite = 0o660;
const groupRead = 0o440;
const groupExecute = 0o110;
const setGid = 0o2000;

/** Gives one entry to the group, without following a link that its user may put in the way. Returns whether it is a folder. */
function adopt(root: string, path: string, { fsGroup, readOnly = false }: FsGroupOptions): boolean {
  let opened: number;
  try {
    opened = openInRoot(root, path, { flags: O_PATH, noSymlinks: true });
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false; // its user removed it meanwhile
    if (!isErrno(error, "ELOOP")) throw error;
    // By the folder's own descriptor: its user may put a link in place of any folder above, too.
    const parent = openInRoot(root, dirname(path), { flags: O_PATH, noSymlinks: true });
    try {
      lchownSync(`/proc/self/fd/${parent}/${basename(path)}`, -1, fsGroup);
    } finally {
      closeSync(parent);
    }
    return false;
  }
  try {
    // The descriptor's own entry in /proc: chown and chmod refuse a descriptor that is only a place.
    const entry = `/proc/self/fd/${opened}`;
    const found: Stats = fstatSync(opened);
    const folder = found.isDirectory();
    const wanted = found.mode | (readOnly ? groupRead : groupReadWrite) | (folder ? groupExecute | setGid : 0);
    if (found.gid !== fsGroup) chownSync(entry, found.uid, fsGroup);
    // A change of owner takes setgid away, so the mode comes last.
    if (found.gid !== fsGroup || wanted !== found.mode) chmodSync(entry, wanted & 0o7777);
    return folder;
  } finally {
    closeSync(opened);
  }
}

/** Whether the volume's root already is as setFsGroup() would leave it. */
async function rootMatches(root: string, { fsGroup, readOnly = false }: FsGroupOptions): Promise<boolean> {
  const { gid, mode } = await lstat(root);
  const wanted = (readOnly ? groupRead : groupReadWrite) | groupExecute | setGid;
  return gid === fsGroup && (mode & wanted) === wanted;
}

/** Gives a volume and everything in it to the Pod's fsGroup: group ownership, group permissions, setgid folders. */
export async function setFsGroup(root: string, options: FsGroupOptions): Promise<void> {
  if (options.policy === "OnRootMismatch" && (await rootMatches(root, options))) return;
  const walk = async (folder: string): Promise<void> => {
    options.signal?.throwIfAborted();
    for (const name of await readdir(join(root, folder))) {
      const path = join(folder, name);
      if (adopt(root, path, options)) await walk(path);
    }
  };
  if ((await lstat(root)).isDirectory()) await walk(".");
  // The root last: it is the mark by which OnRootMismatch knows that all of it was done.
  adopt(root, ".", options);
}
