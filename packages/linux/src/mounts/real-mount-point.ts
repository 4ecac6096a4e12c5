import { realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { isNodeError } from "@tripod/base";

/** A path as mountInfo() writes it: links above it are followed. It is not looked at itself, which would wait for the server of what is mounted there. */
export function realMountPoint(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return path; // nothing can be mounted there yet
    throw error;
  }
}
