import { chmodSync, closeSync, constants } from "node:fs";
import { join } from "node:path";
import { O_PATH, openInRoot } from "@tripod/linux";
import { ownFolder } from "../volume-id.ts";
import { makeFolder } from "./safe-folders.ts";

const opened = new Map<string, number>();

/** The folder of that name in our own, made when absent. Nobody but root looks into it, and no link leads out of it: it is held by a descriptor. */
export function ownFolderOf(dir: string, name: string): string {
  const path = `${ownFolder}/${name}`;
  const key = join(dir, path);
  let fd = opened.get(key);
  if (fd === undefined) {
    makeFolder(dir, ownFolder, (at) => chmodSync(at, 0o700));
    makeFolder(dir, path, () => undefined);
    fd = openInRoot(dir, path, { flags: O_PATH | constants.O_DIRECTORY, noSymlinks: true });
    opened.set(key, fd);
  }
  return `/proc/self/fd/${fd}`;
}

/** Lets all of them go. */
export function closeOwnFolders(): void {
  for (const fd of opened.values()) closeSync(fd);
  opened.clear();
}
