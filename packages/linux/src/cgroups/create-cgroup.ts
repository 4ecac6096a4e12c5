import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkOwnCgroup } from "./cgroup-path.ts";
import { cgroupHierarchies, hierarchyMounts } from "./hierarchies.ts";

/**
 * Makes the group, and its parents, in every hierarchy that is mounted. Idempotent. On version 2 the controllers that exist are
 * enabled for it; on version 1 a cpuset gets its parent's CPUs and memory nodes, without which no process may enter.
 */
export function createCgroup(path: string): void {
  const parts = checkOwnCgroup(path).slice(1).split("/");
  const { unified, v1, version } = cgroupHierarchies();
  for (const mount of hierarchyMounts()) {
    let parent = mount;
    for (const part of parts) {
      if (version === "v2") enableControllers(parent);
      const group = join(parent, part);
      mkdirSync(group, { recursive: true });
      if (mount === v1.get("cpuset") && mount !== unified) inheritCpuset(parent, group);
      parent = group;
    }
  }
}

function enableControllers(group: string): void {
  const available = words(join(group, "cgroup.controllers"));
  const enabled = new Set(words(join(group, "cgroup.subtree_control")));
  for (const controller of available) {
    if (enabled.has(controller)) continue;
    try {
      writeFileSync(join(group, "cgroup.subtree_control"), `+${controller}`);
    } catch (error) {
      // A controller may be busy (realtime processes hold cpu) or the parent may have processes: the group works without it, and
      // who sets a limit of it later gets the error. writeFileSync throws ErrnoExceptions.
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== "EBUSY" && code !== "EOPNOTSUPP" && code !== "ENOENT" && code !== "EINVAL") throw error;
    }
  }
}

function inheritCpuset(parent: string, group: string): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if (readFileSync(join(group, file), "utf8").trim() !== "") continue;
    writeFileSync(join(group, file), readFileSync(join(parent, file), "utf8"));
  }
}

const words = (file: string): string[] =>
  readFileSync(file, "utf8")
    .split(/\s+/)
    .filter((word) => word !== "");
