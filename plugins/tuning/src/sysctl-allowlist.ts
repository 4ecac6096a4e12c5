import { readFileSync } from "node:fs";
import { messageOf, TripodError } from "@tripod/base";

/** Where an administrator says which parameters configurations may set; upstream's path. */
export const allowlistFile = "/etc/cni/tuning/allowlist.conf";

/**
 * Throws "permission-denied" when there is an allowlist and one of the keys, as the configuration spells it, matches none of its lines,
 * which are regular expressions. Without the file everything is allowed.
 */
export function checkAllowed(keys: readonly string[], file: string = allowlistFile): void {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    // readFileSync throws ErrnoExceptions.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const patterns = lines.map((line) => {
    try {
      return new RegExp(line);
    } catch (cause) {
      throw new TripodError("invalid", `tuning: ${file}: ${messageOf(cause)}`, { cause });
    }
  });
  for (const key of keys) {
    if (!patterns.some((pattern) => pattern.test(key)))
      throw new TripodError(
        "permission-denied",
        `tuning: sysctl ${key} is not allowed by ${file}, which allows ${lines.join(", ")}`,
      );
  }
}
