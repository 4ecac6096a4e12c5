import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isNodeError } from "@tripod/base";
import { killDescendants, killProcessTree } from "./process-tree.ts";

const namesIn = (folder: string): string[] => {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isNodeError(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
};

/** The file in which a `runtime exec` notes its process; `runtime create` has another one. */
const pidFile = /\/exec-[0-9a-f]+\.pid$/;

/** The `runtime exec` commands that note their process in a bundle below `bundlesDir`. */
function execsBelow(bundlesDir: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const words = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
        const file = words[words.indexOf("--pid-file") + 1] ?? "";
        return file.startsWith(`${bundlesDir}/`) && pidFile.test(file);
      } catch {
        return false; // it ended since readdir
      }
    })
    .map(Number);
}

/**
 * Ends what an earlier process of ours ran in containers by exec, for whoever asked for it is gone with that process; how many there
 * were. The containers' own programs are not touched.
 */
export function endLeftExecs(bundlesDir: string): number {
  const execs = execsBelow(bundlesDir);
  for (const pid of execs) if (!killDescendants(pid)) killProcessTree(pid);
  for (const id of namesIn(bundlesDir)) {
    for (const name of namesIn(join(bundlesDir, id)))
      if (/^exec-[0-9a-f]+\.(pid|log|json)$/.test(name)) rmSync(join(bundlesDir, id, name), { force: true });
  }
  return execs.length;
}
