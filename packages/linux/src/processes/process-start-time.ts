import { readFileSync } from "node:fs";
import { TripodError } from "@tripod/base";

/** What /proc/PID/stat says of a process. */
interface ProcessStatus {
  readonly state: string;
  readonly parentPid: number;
  readonly startTime: number;
}

/** Parses /proc/PID/stat: the name is in parentheses and may hold spaces and parentheses itself. */
export function parseProcessStat(text: string): ProcessStatus {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, parentPid] = fields;
  const startTime = Number(fields[19]);
  if (state === undefined || !Number.isInteger(startTime)) {
    throw new TripodError("corrupt", `/proc/PID/stat: unexpected text ${JSON.stringify(text.slice(0, 200))}`);
  }
  return { state, parentPid: Number(parentPid), startTime };
}

function readStat(pid: number): ProcessStatus | undefined {
  try {
    return parseProcessStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch (error) {
    // readFileSync throws ErrnoExceptions.
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}

/** When the process started, in clock ticks (1/100 s) since boot; with the PID it names a process for good. undefined: none. */
export const processStartTime = (pid: number): number | undefined => readStat(pid)?.startTime;

/** Whether the process runs: it exists, is no zombie and, where given, started at `startTime`. */
export function processIsRunning(pid: number, startTime?: number): boolean {
  const status = readStat(pid);
  if (status === undefined || status.state === "Z" || status.state === "X") return false;
  return startTime === undefined || status.startTime === startTime;
}
