import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isNodeError } from "@tripod/base";
import { checkCgroupPath } from "./cgroup-path.ts";
import { controllerFolder } from "./controller-folder.ts";
import { cgroupHierarchies, hierarchyMounts } from "./hierarchies.ts";

/** The folders of the group in the hierarchies in which it exists. */
export function cgroupFolders(path: string): string[] {
  checkCgroupPath(path);
  return hierarchyMounts()
    .map((mount) => join(mount, path))
    .filter((folder) => exists(folder));
}

/** Whether the group exists in any hierarchy. */
export const cgroupExists = (path: string): boolean => cgroupFolders(path).length > 0;

/** The processes of the group and, with `recursive`, of all below it, in whichever hierarchy; [] when there is no such group. */
export function cgroupProcesses(path: string, options: { readonly recursive?: boolean } = {}): number[] {
  const pids = new Set<number>();
  for (const folder of cgroupFolders(path)) {
    for (const group of options.recursive === true ? tree(folder) : [folder]) {
      for (const line of readOrEmpty(join(group, "cgroup.procs")).split("\n")) {
        // 0 stands for a process of another PID namespace.
        if (line !== "" && line !== "0") pids.add(Number(line));
      }
    }
  }
  return [...pids];
}

/**
 * The same by a single hierarchy, for counting: of those in which a container's processes are, one is as good as another. Processes that
 * hide in one hierarchy alone are not found.
 */
export function countedProcesses(path: string): number[] {
  const hierarchies = cgroupHierarchies();
  const controller = hierarchies.v1.has("pids") ? "pids" : "memory";
  const folder = controllerFolder(hierarchies, { controller, path: checkCgroupPath(path) });
  if (folder === undefined) return [];
  return tree(folder)
    .flatMap((group) => readOrEmpty(join(group, "cgroup.procs")).split("\n"))
    .filter((line) => line !== "" && line !== "0")
    .map(Number);
}

/** The group's folder and all below it, children before parents. */
export function tree(folder: string): string[] {
  let names: string[];
  try {
    names = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
  return [...names.flatMap((name) => tree(join(folder, name))), folder];
}

/** Whether a file system call failed because the group went away meanwhile (ENODEV: between opening and reading). */
export function isGone(error: unknown): boolean {
  // Only errors of node:fs come here, which are ErrnoExceptions.
  const code = (error as NodeJS.ErrnoException).code;
  return code === "ENOENT" || code === "ENODEV";
}

function exists(folder: string): boolean {
  try {
    readdirSync(folder);
    return true;
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  }
}

function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    // EOPNOTSUPP: a threaded group has no processes of its own.
    if (isGone(error) || isNodeError(error, "EOPNOTSUPP")) return "";
    throw error;
  }
}
