import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isNodeError } from "@tripod/base";
import { isGone } from "./cgroup-processes.ts";

/** A file of a group; undefined without the folder, the file, or the feature behind it (EOPNOTSUPP: pressure that the kernel was told to not count). */
export function readCgroupFile(folder: string | undefined, file: string): string | undefined {
  if (folder === undefined) return undefined;
  try {
    return readFileSync(join(folder, file), "utf8").trim();
  } catch (error) {
    if (isGone(error) || isNodeError(error, "EOPNOTSUPP")) return undefined;
    throw error;
  }
}

/** A file of "name value" lines; empty when it is not there. */
export function readCgroupTable(folder: string | undefined, file: string): Map<string, number> {
  const lines = (readCgroupFile(folder, file) ?? "").split("\n");
  return new Map(lines.map((line) => line.split(" ")).map(([name = "", value]) => [name, Number(value ?? 0)]));
}

/** A file of one number. */
export function readCgroupNumber(folder: string | undefined, file: string): number | undefined {
  const text = readCgroupFile(folder, file);
  return text === undefined || text === "" ? undefined : Number(text);
}

/** Beyond any machine's memory; version 1 writes about 2^63 for "none". */
const noLimit = 2 ** 60;

/** A file that holds a limit; undefined when there is none. */
export function readCgroupLimit(folder: string | undefined, file: string): number | undefined {
  const text = readCgroupFile(folder, file);
  if (text === undefined || text === "max") return undefined;
  return Number(text) >= noLimit ? undefined : Number(text);
}
