import { type BigIntStats, chmodSync, closeSync, constants, fstatSync, lchownSync } from "node:fs";
import { isErrno, lutimesNs, O_PATH, openInRoot } from "@tripod/linux";
import type { ByteString } from "../tar/tar-entry.ts";
import { bytesOf, toByteString } from "./entry-path.ts";

/** What a layer has at a path; undefined when nothing, or when a symbolic link is in the way. */
export function lookUp(layer: string, path: ByteString): BigIntStats | undefined {
  try {
    const fd = openInRoot(layer, bytesOf(path === "" ? "." : path), {
      flags: O_PATH | constants.O_NOFOLLOW,
      noSymlinks: true,
    });
    try {
      return fstatSync(fd, { bigint: true });
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}

function topmost(path: ByteString, lowerDirs: readonly string[]): BigIntStats | undefined {
  for (const lower of lowerDirs) {
    const stat = lookUp(lower, path);
    if (stat !== undefined) return stat;
  }
  return undefined;
}

/**
 * Gives folders that a layer uses but does not describe the owner, mode and time that they have in the layers below, which
 * they would otherwise hide (a layer with "tmp/x" alone must not make /tmp 0755). `lowerDirs`: topmost first.
 */
export function adoptImplied(dir: string, implied: readonly ByteString[], lowerDirs: readonly string[]): void {
  for (const path of implied) {
    const own = bytesOf(`${toByteString(dir)}/${path}`);
    const stat = topmost(path, lowerDirs);
    if (stat?.isDirectory() === true) {
      lchownSync(own, Number(stat.uid), Number(stat.gid));
      chmodSync(own, Number(stat.mode) & 0o7777);
      lutimesNs(own, { accessedAtNs: stat.atimeNs, modifiedAtNs: stat.mtimeNs });
    } else lutimesNs(own, { accessedAtNs: 0n, modifiedAtNs: 0n }); // nobody says; the same each time that the layer is unpacked
  }
}
