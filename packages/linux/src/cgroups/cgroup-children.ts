import { readdirSync } from "node:fs";
import { cgroupFolders } from "./cgroup-processes.ts";

/** The names of the groups directly below `path`, in whichever hierarchy; [] when there is no such group. */
export function cgroupChildren(path: string): string[] {
  const names = new Set<string>();
  for (const folder of cgroupFolders(path)) {
    for (const entry of readdirSync(folder, { withFileTypes: true })) if (entry.isDirectory()) names.add(entry.name);
  }
  return [...names];
}
