import { readFileSync } from "node:fs";
import { type Check, ok, warn } from "./check.ts";

/** Every container that follows a file takes an instance, of a limit that root's containers share. */
const GOOD_INSTANCES = 512;
const GOOD_WATCHES = 65_536;
const GOOD_OPEN_FILES = 65_536;

export interface Limits {
  readonly inotifyInstances: number;
  readonly inotifyWatches: number;
  /** The hard limit; Node raises the soft one to it. */
  readonly openFiles: number;
}

export function limitChecks(): Check[] {
  const read = (file: string): string => readFileSync(file, "utf8").trim();
  const openFiles = /^Max open files\s+\S+\s+(\S+)/m.exec(read("/proc/self/limits"))?.[1];
  return judgeLimits({
    inotifyInstances: Number(read("/proc/sys/fs/inotify/max_user_instances")),
    inotifyWatches: Number(read("/proc/sys/fs/inotify/max_user_watches")),
    openFiles: openFiles === undefined || openFiles === "unlimited" ? Number.POSITIVE_INFINITY : Number(openFiles),
  });
}

/** Judges the limits that "too many open files" comes from. */
export function judgeLimits(limits: Limits): Check[] {
  const { inotifyInstances, inotifyWatches, openFiles } = limits;
  const found = `${inotifyInstances} instances, ${inotifyWatches} watches`;
  return [
    inotifyInstances >= GOOD_INSTANCES && inotifyWatches >= GOOD_WATCHES
      ? ok("inotify", found)
      : warn(
          "inotify",
          found,
          `many Pods run into "too many open files": sysctl -w fs.inotify.max_user_instances=8192 fs.inotify.max_user_watches=524288`,
        ),
    openFiles >= GOOD_OPEN_FILES
      ? ok("open files", `up to ${openFiles}`)
      : warn("open files", `up to ${openFiles}`, `start it with a higher limit: ulimit -Hn ${GOOD_OPEN_FILES}`),
  ];
}
