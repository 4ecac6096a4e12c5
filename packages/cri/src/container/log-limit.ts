import { existsSync, renameSync, rmSync, statSync, watch } from "node:fs";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { failpoint, isNodeError } from "@tripod/base";
import { bundleOf, type CriContext } from "../context.ts";
import type { ContainerRecord } from "../records/container-record.ts";
import { runtimeOf } from "../runtime/handler.ts";

/** How much of a container's log is kept, by this runtime. A kubelet has limits of its own: set one or the other. */
export interface LogLimit {
  /** A log that has grown beyond is moved to NAME.1. */
  readonly maxSizeBytes: number;
  /** Files of a container, the one that is written among them; 5 unless told. */
  readonly maxFiles?: number;
}

/** A log that is written all the time is looked at this often; it may outgrow its limit by what is written in between. */
const lookEveryMs = 250;

/** The moves that make room for a new file at `path`, first to last; undefined is "away with it". */
export const planRotation = (path: string, maxFiles: number): { readonly from: string; readonly to?: string }[] => {
  const names = [path, ...Array.from({ length: maxFiles - 1 }, (_, index) => `${path}.${index + 1}`)];
  return names
    .map((from, index) => ({ from, ...(names[index + 1] !== undefined && { to: names[index + 1] }) }))
    .toReversed();
};

function rotate(path: string, maxFiles: number): void {
  for (const { from, to } of planRotation(path, maxFiles)) {
    if (!existsSync(from)) continue;
    if (to === undefined) rmSync(from);
    else renameSync(from, to);
  }
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

/**
 * Keeps the log of a living container within the limit that is in force, until it ends. While nothing is written nothing is done. A
 * crash between moving a log and reopening it loses no line: its writer goes on with the moved file until it is told.
 */
export async function limitLog(context: CriContext, container: ContainerRecord, signal: AbortSignal): Promise<void> {
  const { id } = container;
  const ended = new AbortController();
  void context.exits.ended(id).then(() => ended.abort());
  const over = AbortSignal.any([signal, ended.signal]);
  while (!over.aborted && context.config.logLimit !== undefined) {
    try {
      await keepWithin(context, container, over);
      await delay(lookEveryMs, undefined, { signal: over });
    } catch (error) {
      if (over.aborted) return;
      if (!isNodeError(error, "ENOENT")) throw error; // somebody else has just moved the file
    }
  }
}

/** Moves the log when it is too long, else waits until it is written to or moved by somebody else. */
async function keepWithin(
  context: CriContext,
  { id, logPath, handler }: ContainerRecord,
  signal: AbortSignal,
): Promise<void> {
  const reopen = (): Promise<void> => runtimeOf(context, handler).reopenLog(bundleOf(context, id), logPath);
  const { maxSizeBytes, maxFiles = 5 } = context.config.logLimit ?? { maxSizeBytes: Number.POSITIVE_INFINITY };
  if (!existsSync(logPath)) await reopen();
  const watcher = watch(logPath);
  try {
    const changed = once(watcher, "change", { signal });
    changed.catch(() => {}); // looked at below, unless the log is moved
    if (sizeOf(logPath) <= maxSizeBytes) {
      await changed;
      return;
    }
    rotate(logPath, maxFiles);
    failpoint("cri.log.moved");
    await reopen();
  } finally {
    watcher.close();
  }
}
