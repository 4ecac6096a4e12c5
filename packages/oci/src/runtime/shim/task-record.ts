import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isNodeError, writeFileAtomicSync } from "@tripod/base";
import type { ShimAddress } from "./shim-address.ts";

/** A process that stays the same one as long as its start time does. */
export interface Identity {
  readonly pid: number;
  readonly startTime: number;
}

/** What has to be known of a container after a restart. Written before each step that follows from it. */
export interface TaskRecord {
  readonly id: string;
  readonly bundle: string;
  readonly stdinOnce: boolean;
  /** Absent until the shim has been started. */
  readonly address?: ShimAddress;
  /** The container's first process and the shim's, once they are there. */
  readonly processes?: { readonly init: Identity; readonly shim: Identity };
  /** The exit code, once the shim has told it. */
  readonly exitCode?: number;
}

export const taskFolder = (rootDir: string, id: string): string => join(rootDir, "tasks", id);
const recordFile = (rootDir: string, id: string): string => join(taskFolder(rootDir, id), "task.json");

/** Its folder must be there. */
export const writeTaskRecord = (rootDir: string, record: TaskRecord): void =>
  writeFileAtomicSync(recordFile(rootDir, record.id), JSON.stringify(record));

export function readTaskRecord(rootDir: string, id: string): TaskRecord | undefined {
  try {
    return JSON.parse(readFileSync(recordFile(rootDir, id), "utf8")) as TaskRecord; // written above, whole or not at all
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return undefined;
    throw error;
  }
}

export function listTaskRecords(rootDir: string): TaskRecord[] {
  let names: string[];
  try {
    names = readdirSync(join(rootDir, "tasks"));
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return [];
    throw error;
  }
  return names.flatMap((id) => readTaskRecord(rootDir, id) ?? []);
}
