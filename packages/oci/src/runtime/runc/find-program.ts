import { accessSync, constants } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import { TripodError } from "@tripod/base";

/** Looked at after PATH, which of an unprivileged shell's leaves them out. */
const systemFolders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** The absolute path of a program; "not-found" says what to install. */
export function findProgram(name: string): string {
  const folders = isAbsolute(name) ? ["/"] : [...(process.env.PATH ?? "").split(delimiter), ...systemFolders];
  for (const folder of folders) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      continue; // not here
    }
  }
  throw new TripodError("not-found", `find ${name}: it is in none of ${folders.join(", ")}; install it`);
}
