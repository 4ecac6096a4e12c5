import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Layout, TripodError, writeFileAtomicSync } from "@tripod/base";
import { FileLock } from "@tripod/linux";

const pidFile = (layout: Layout): string => join(layout.runDir, "tripod.pid");

// The kernel gives the lock back the instant its process dies, however that dies, and it holds across network namespaces.
const lockFile = (layout: Layout): string => join(layout.libDir, "lock");

const holder = (layout: Layout): number => Number(readFileSync(pidFile(layout), "utf8"));

/** The process id of the daemon that runs on this layout; undefined when none does. */
export function runningDaemon(layout: Layout): number | undefined {
  if (!existsSync(layout.libDir)) return undefined;
  using lock = FileLock.tryAcquire(lockFile(layout));
  return lock === undefined ? holder(layout) : undefined;
}

/** Makes this process the one daemon of the layout until it is disposed or dies; a second one is an "already-exists" error. */
export function lockInstance(layout: Layout): Disposable {
  const lock = FileLock.tryAcquire(lockFile(layout));
  if (lock === undefined) {
    throw new TripodError(
      "already-exists",
      `another tripod (process ${holder(layout)}) runs on ${layout.root ?? layout.libDir}; stop it, or choose another --root`,
    );
  }
  writeFileAtomicSync(pidFile(layout), String(process.pid));
  return {
    [Symbol.dispose]() {
      rmSync(pidFile(layout), { force: true });
      lock[Symbol.dispose]();
    },
  };
}
