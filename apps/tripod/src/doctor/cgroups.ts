import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type CgroupHierarchies, cgroupHierarchies } from "@tripod/linux";
import { type Check, fail, ok, warn } from "./check.ts";

/** What requests and limits of Pods are enforced by; the second list only some Pods ask for. */
const needed = ["cpu", "memory", "pids"];
const wished = ["cpuset", "hugetlb"];

export function cgroupChecks(): Check[] {
  const hierarchies = cgroupHierarchies();
  return judgeCgroups(hierarchies, controllersOf(hierarchies));
}

function controllersOf({ version, unified, v1 }: CgroupHierarchies): string[] {
  if (version !== "v2") return [...v1.keys()];
  return unified === undefined ? [] : readFileSync(join(unified, "cgroup.controllers"), "utf8").trim().split(" ");
}

/** Judges the hierarchies and their controllers. */
export function judgeCgroups(hierarchies: CgroupHierarchies, controllers: readonly string[]): Check[] {
  const { version, unified } = hierarchies;
  const mounted =
    version === "v2" && unified === undefined
      ? fail("cgroups", "not mounted", "mount -t cgroup2 none /sys/fs/cgroup")
      : version === "v2"
        ? ok("cgroups", `version 2 at ${unified}`)
        : warn(
            "cgroups",
            version === "v1" ? "version 1" : "version 1 with an empty version 2 beside it (hybrid)",
            "all works but memory QoS and swap limits; for version 2 boot with systemd.unified_cgroup_hierarchy=1",
          );
  const missing = needed.filter((name) => !controllers.includes(name));
  const unavailable = wished.filter((name) => !controllers.includes(name));
  const name = "cgroup controllers";
  if (missing.length > 0) {
    return [
      mounted,
      fail(
        name,
        `missing ${missing.join(", ")}`,
        version === "v2"
          ? `write +${missing.join(" +")} to cgroup.subtree_control of the parent, or boot with cgroup_enable=${missing.join(",")}`
          : `mount them, for example: mount -t cgroup -o ${missing[0]} cgroup /sys/fs/cgroup/${missing[0]}`,
      ),
    ];
  }
  if (unavailable.length > 0) {
    return [
      mounted,
      warn(name, `missing ${unavailable.join(", ")}`, "Pods that ask for these are refused; the rest runs"),
    ];
  }
  return [mounted, ok(name, controllers.join(" "))];
}
