import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type CgroupHierarchies, cgroupHierarchies } from "./hierarchies.ts";

/** How often the kernel is reminded; after each reminder it stays ready for another grace period, some 10 to 30 ms. */
const remindEveryMs = 8;

/** How many want it just now. */
let wanted = 0;
let reminding = false;

/**
 * The cgroup.procs file of the group that a process is in, by its /proc/PID/cgroup and in whichever hierarchy comes first; undefined
 * where none is mounted as a whole. Exported for tests.
 */
export function ownProcsFile(procCgroup: string, { unified, v1 }: CgroupHierarchies): string | undefined {
  for (const line of procCgroup.trimEnd().split("\n")) {
    const [, number, controllers = "", path = ""] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
    const mount = number === "0" ? unified : v1.get(controllers.split(",")[0] ?? "");
    // A group outside of this process's cgroup namespace is shown as "/../…".
    if (mount !== undefined && !path.startsWith("/..")) return join(mount, path, "cgroup.procs");
  }
  return undefined;
}

async function openOwnProcs(): Promise<FileHandle | undefined> {
  try {
    const file = ownProcsFile(await readFile("/proc/self/cgroup", "utf8"), cgroupHierarchies());
    return file === undefined ? undefined : await open(file, "r+");
  } catch {
    return undefined; // not ours to write to: moves take as long as they do
  }
}

/** Until nobody wants it; fails with nothing. */
async function remind(): Promise<void> {
  reminding = true;
  const file = await openOwnProcs();
  try {
    while (file !== undefined && wanted > 0) {
      await file.write(String(process.pid), null);
      await delay(remindEveryMs);
    }
  } catch {
    // As above.
  } finally {
    reminding = false;
    await file?.close();
  }
}

/**
 * Keeps the kernel ready to move processes between cgroups, until disposed of. The first move after a while waits for a grace period of
 * RCU (cgroup_threadgroup_rwsem; kernel/rcu/sync.c), 5 to 15 ms on an idle machine, and with it everybody who wants to make, remove or
 * move one; moves soon after it wait for nothing. So the wait is had here, by a thread of the pool, while whoever will move a
 * process is still starting: this process is moved to where it is already, which changes nothing.
 */
export function quickCgroupMoves(): Disposable {
  wanted += 1;
  if (!reminding) void remind();
  let held = true;
  return {
    [Symbol.dispose]() {
      if (held) wanted -= 1;
      held = false;
    },
  };
}
