import { isNodeError } from "@tripod/base";
import { processIsRunning, processStartTime } from "@tripod/linux";
import type { ProcessIdentity } from "../records/container-record.ts";

/** Whether this very process, and not a later one with its number, is there and no zombie. */
export const isAlive = (process: ProcessIdentity | undefined): boolean =>
  process !== undefined && processIsRunning(process.pid, Number(process.startTime));

/** The process as it can be told again from a later one with its number; undefined when it has ended already. */
export function identify(pid: number): ProcessIdentity | undefined {
  const startTime = processStartTime(pid);
  return startTime === undefined ? undefined : { pid, startTime: String(startTime) };
}

/** Sends a signal; a process that has ended is no error. */
export function signalProcess(target: ProcessIdentity, signal: number): void {
  if (!isAlive(target)) return;
  try {
    process.kill(target.pid, signal);
  } catch (error) {
    if (!isNodeError(error, "ESRCH")) throw error;
  }
}
