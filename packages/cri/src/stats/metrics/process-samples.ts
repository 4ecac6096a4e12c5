import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type CgroupStats, countedProcesses } from "@tripod/linux";
import type { ContainerRecord } from "../../records/container-record.ts";
import type { Sample } from "./descriptors.ts";

/** So many links are read in well under a millisecond. */
const linksAtOnce = 256;

/** The process, or the descriptor, may be gone by the time that it is looked at. */
function orNone<T>(read: () => T, none: T): T {
  try {
    return read();
  } catch {
    return none;
  }
}

async function countDescriptors(pids: readonly number[]): Promise<{ descriptors: number; sockets: number }> {
  let descriptors = 0;
  let sockets = 0;
  for (const pid of pids) {
    for (const fd of orNone(() => readdirSync(`/proc/${pid}/fd`), [])) {
      descriptors += 1;
      if (orNone(() => readlinkSync(`/proc/${pid}/fd/${fd}`), "").startsWith("socket:")) sockets += 1;
      if (descriptors % linksAtOnce === 0) await nextTurn();
    }
  }
  return { descriptors, sockets };
}

/** The soft limit of open files; undefined when there is none. */
function openFilesLimit(pid: number): number | undefined {
  const limits = orNone(() => readFileSync(`/proc/${pid}/limits`, "utf8"), "");
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  return soft === undefined ? undefined : Number(soft);
}

export async function processSamples({ pids }: CgroupStats, container: ContainerRecord): Promise<Sample[]> {
  const processes = countedProcesses(container.cgroupsPath);
  const { descriptors, sockets } = await countDescriptors(processes);
  const limit = container.init === undefined ? undefined : openFilesLimit(container.init.pid);
  return [
    { name: "container_processes", value: processes.length },
    { name: "container_file_descriptors", value: descriptors },
    { name: "container_sockets", value: sockets },
    ...(pids === undefined
      ? []
      : ([
          { name: "container_threads", value: pids.current },
          { name: "container_threads_max", value: pids.limit ?? 0 },
        ] as const)),
    ...(limit === undefined
      ? []
      : ([{ name: "container_ulimits_soft", value: limit, labels: ["max_open_files"] }] as const)),
  ];
}
