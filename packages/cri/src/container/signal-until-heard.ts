import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import type { ProcessIdentity } from "../records/container-record.ts";
import { isAlive, signalProcess } from "./process.ts";

/** How often a process is looked at that does not hear yet: soon after its start, then ever less. */
const firstPauseMs = 2;
const longestPauseMs = 500;

const maskHolds = (status: string, field: string, signal: number): boolean => {
  const mask = new RegExp(`^${field}:\\s*([0-9a-f]+)$`, "m").exec(status)?.[1] ?? "0";
  return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
};

/**
 * Whether the kernel drops the signal: the first process of a PID namespace has no default actions (pid_namespaces(7)), so that one which
 * neither handles nor blocks the signal never gets it. One that ignores it has said so, and is not meant.
 */
export function dropsSignal(status: string, signal: number): boolean {
  const numbers = /^NSpid:\s*(.*)$/m.exec(status)?.[1]?.split(/\s+/) ?? [];
  if (numbers.length < 2 || numbers.at(-1) !== "1") return false;
  return !["SigCgt", "SigBlk", "SigIgn"].some((field) => maskHolds(status, field, signal));
}

function isDeaf(target: ProcessIdentity, signal: number): boolean {
  try {
    return dropsSignal(readFileSync(`/proc/${target.pid}/status`, "utf8"), signal);
  } catch {
    return false; // it has ended
  }
}

/**
 * Sends the signal; to a process that has not come to install its handler yet, and so has not got it, again when it has. Without this a
 * container that is stopped while it starts would use up its whole grace period. Resolves when the signal is heard, or at the abort.
 */
export async function signalUntilHeard(target: ProcessIdentity, signal: number, until: AbortSignal): Promise<void> {
  const deaf = isDeaf(target, signal);
  signalProcess(target, signal);
  if (!deaf) return;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    try {
      await setTimeout(pauseMs, undefined, { signal: until });
    } catch {
      return; // aborted
    }
    if (!isAlive(target)) return;
    if (isDeaf(target, signal)) continue;
    signalProcess(target, signal);
    return;
  }
}
