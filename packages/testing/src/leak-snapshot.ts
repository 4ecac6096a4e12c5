import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { loopDevices, mountInfo, nft } from "@tripod/linux";

/** What there was on the machine at one moment. */
export interface LeakSnapshot {
  /** What is there now and was not then, as "kind name" lines, sorted. */
  leaked(): string[];
}

/** Looks at mounts, links, network namespaces, nft tables, cgroups, loop devices and processes of this machine. */
export function leakSnapshot(): LeakSnapshot {
  const before = new Set(inventory());
  return {
    leaked: () =>
      inventory()
        .filter((item) => !before.has(item))
        .toSorted(),
  };
}

function inventory(): string[] {
  return [
    ...mountInfo().map(({ mountPoint, type }) => `mount ${mountPoint} (${type})`),
    ...readdirSync("/sys/class/net").map((name) => `link ${name}`),
    ...nft("list tables")
      .split("\n")
      .flatMap((line) => (line.trim() === "" ? [] : [`nft ${line.trim()}`])),
    ...loopDevices().map(({ path, backingFile }) => `loop ${path} (${backingFile})`),
    ...tripodCgroups(),
    ...tripodProcesses(),
  ];
}

function tripodCgroups(): string[] {
  const root = "/sys/fs/cgroup";
  const hierarchies = ["", ...readdirSync(root)].map((name) => join(root, name));
  return hierarchies.flatMap((dir) => {
    if (!existsSync(join(dir, "cgroup.procs"))) return [];
    return readdirSync(dir).flatMap((name) => (name.startsWith("tripod") ? [`cgroup ${join(dir, name)}`] : []));
  });
}

/** Programs that a node starts and that may outlive it. */
const supervised = /^(conmon|runc|crun|catatonit|docker-registry)$/;

function tripodProcesses(): string[] {
  return readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const name = readFileSync(`/proc/${pid}/comm`, "utf8").trim();
      return supervised.test(name) ? [`process ${pid} ${name} in ${readlinkSync(`/proc/${pid}/ns/net`)}`] : [];
    } catch {
      return []; // it ended while we looked
    }
  });
}
