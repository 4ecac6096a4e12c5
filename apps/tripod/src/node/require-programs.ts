import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { TripodError } from "@tripod/base";

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** Fails with one line that names every program that is not on PATH and how to get it (they are named as their packages are). */
export function requirePrograms(names: readonly string[]): void {
  const dirs = (process.env.PATH ?? "").split(":").filter((dir) => dir !== "");
  const missing = names.filter((name) => !dirs.some((dir) => isExecutable(join(dir, name))));
  if (missing.length === 0) return;
  throw new TripodError(
    "not-found",
    `start the runtime: ${missing.join(" and ")} not found on PATH; install with: apt-get install ${missing.join(" ")} (tripod doctor checks the rest)`,
  );
}
