import { mountInfo, type MountInfo } from "../mounts/mount-info.ts";

/** Version 1 has a hierarchy a controller; "hybrid" is that with the unified one beside it, without controllers. */
export type CgroupVersion = "v1" | "v2" | "hybrid";

export interface CgroupHierarchies {
  readonly version: CgroupVersion;
  /** Where the unified hierarchy is mounted. */
  readonly unified: string | undefined;
  /** Controller (or "name=systemd") to mount point; controllers mounted together share one. Empty on "v2". */
  readonly v1: ReadonlyMap<string, string>;
}

const CONTROLLERS = new Set([
  "blkio",
  "cpu",
  "cpuacct",
  "cpuset",
  "devices",
  "freezer",
  "hugetlb",
  "memory",
  "misc",
  "net_cls",
  "net_prio",
  "perf_event",
  "pids",
  "rdma",
]);

/** Reads the hierarchies out of a mount table. Exported for tests; cgroupHierarchies() is what callers want. */
export function hierarchiesOf(mounts: readonly MountInfo[]): CgroupHierarchies {
  let unified: string | undefined;
  const v1 = new Map<string, string>();
  for (const { type, mountPoint, superOptions, root } of mounts) {
    // Only whole hierarchies; containers' mounts show a part of one.
    if (root !== "/") continue;
    if (type === "cgroup2") unified ??= mountPoint;
    if (type !== "cgroup") continue;
    for (const option of superOptions) {
      if ((CONTROLLERS.has(option) || option.startsWith("name=")) && !v1.has(option)) v1.set(option, mountPoint);
    }
  }
  const hasControllers = [...v1.keys()].some((name) => !name.startsWith("name="));
  if (!hasControllers) return { version: "v2", unified, v1: new Map() };
  return { version: unified === undefined ? "v1" : "hybrid", unified, v1 };
}

let known: CgroupHierarchies | undefined;

/** This machine's hierarchies; read once. */
export function cgroupHierarchies(): CgroupHierarchies {
  known ??= hierarchiesOf(mountInfo());
  return known;
}

export const cgroupVersion = (): CgroupVersion => cgroupHierarchies().version;

/** The mount points of all hierarchies, each once. */
export function hierarchyMounts(hierarchies: CgroupHierarchies = cgroupHierarchies()): string[] {
  const mounts = new Set(hierarchies.v1.values());
  if (hierarchies.unified !== undefined) mounts.add(hierarchies.unified);
  return [...mounts];
}
