import { readFileSync } from "node:fs";
import type { Records } from "@tripod/base";

/** Notes the kernel's present life, and tells whether it is another one than at the last start: then no process on record is left. */
export function noteBoot(records: Records): boolean {
  const table = records.table<string>("boot");
  const last = table.get("id");
  const now = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  if (last !== now) table.put("id", now);
  return last !== undefined && last !== now;
}
