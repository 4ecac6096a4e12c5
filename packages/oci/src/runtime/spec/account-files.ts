import { closeSync, constants, fstatSync, readSync } from "node:fs";
import { isTripodError, TripodError } from "@tripod/base";
import { openInRoot } from "@tripod/linux";

/** A line of /etc/passwd. */
export interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

/** A line of /etc/group. */
export interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** What of an image's /etc/passwd and /etc/group is read at most; the files come from an image and are not to be trusted. */
const maxFileBytes = 1024 * 1024;

const isId = (text: string | undefined): text is string => text !== undefined && /^\d{1,10}$/.test(text);

/** The entries of a passwd file; lines that are no entry (comments, NIS marks, bad numbers) are passed over. */
export function parsePasswd(text: string): PasswdEntry[] {
  const entries: PasswdEntry[] = [];
  for (const line of text.split("\n")) {
    const [name, , uid, gid, , home] = line.split(":");
    if (name === undefined || name === "" || !isId(uid) || !isId(gid)) continue;
    entries.push({ name, uid: Number(uid), gid: Number(gid), home: home ?? "" });
  }
  return entries;
}

/** The entries of a group file; lines that are no entry are passed over. */
export function parseGroup(text: string): GroupEntry[] {
  const entries: GroupEntry[] = [];
  for (const line of text.split("\n")) {
    const [name, , gid, members] = line.split(":");
    if (name === undefined || name === "" || !isId(gid)) continue;
    entries.push({ name, gid: Number(gid), members: (members ?? "").split(",").filter((member) => member !== "") });
  }
  return entries;
}

/** A small text file of a root file system, links resolved inside it; "" when there is none. */
function readInRoot(rootfs: string, path: string): string {
  let fd: number;
  try {
    fd = openInRoot(rootfs, path, { flags: constants.O_RDONLY | constants.O_NONBLOCK });
  } catch (error) {
    if (isTripodError(error, "not-found")) return "";
    throw error;
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new TripodError("invalid", `read ${path} of the image: it is not a regular file`);
    if (stat.size > maxFileBytes) {
      throw new TripodError("invalid", `read ${path} of the image: ${stat.size} bytes are more than ${maxFileBytes}`);
    }
    const bytes = Buffer.alloc(stat.size);
    let length = 0;
    while (length < bytes.length) {
      const read = readSync(fd, bytes, length, bytes.length - length, length);
      if (read === 0) break;
      length += read;
    }
    return bytes.toString("utf8", 0, length);
  } finally {
    closeSync(fd);
  }
}

/** The accounts of the root file system at `rootfs`. */
export const readAccounts = (rootfs: string): { passwd: PasswdEntry[]; group: GroupEntry[] } => ({
  passwd: parsePasswd(readInRoot(rootfs, "/etc/passwd")),
  group: parseGroup(readInRoot(rootfs, "/etc/group")),
});
