import { chmodSync, closeSync, constants, fstatSync, lchownSync, type Stats, utimesSync } from "node:fs";
import { isErrno, O_PATH, openInRoot } from "@tripod/linux";
import type { ByteString } from "../tar/tar-entry.ts";
import { bytesOf, toByteString } from "./entry-path.ts";

function lookUp(layer: string, path: ByteString): Stats | undefined {
  try {
    const fd = openInRoot(layer, bytesOf(path === "" ? "." : path), {
      flags: O_PATH | constants.O_NOFOLLOW,
      noSymlinks: true,
    });
    try {
      return fstatSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}

/**
 * Gives folders that a layer uses but does not describe the owner, mode and time that they have in the layers below, which
 * they would otherwise hide (a layer with "tmp/x" alone must not make /tmp 0755). `lowerDirs`: topmost first.
 */
export function adoptImplied(dir: string, implied: readonly ByteString[], lowerDirs: readonly string[]): void {
  for (const path of implied) {
    for (const lower of lowerDirs) {
      const stat = lookUp(lower, path);
      if (stat === undefined) continue;
      if (stat.isDirectory()) {
        const own = bytesOf(`${toByteString(dir)}/${path}`);
        lchownSync(own, stat.uid, stat.gid);
        chmodSync(own, stat.mode & 0o7777);
        utimesSync(own, stat.atimeMs / 1000, stat.mtimeMs / 1000);
      }
      break;
    }
  }
}
