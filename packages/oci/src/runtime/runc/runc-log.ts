import { readFileSync } from "node:fs";

/** The last error line of a runtime's JSON log; undefined when there is none. */
export function runcErrorOf(logPath: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(logPath, "utf8");
  } catch {
    return undefined; // it logged nothing, so it made no file
  }
  for (const line of text.trim().split("\n").toReversed()) {
    try {
      const entry: unknown = JSON.parse(line);
      if (typeof entry !== "object" || entry === null || !("level" in entry) || !("msg" in entry)) continue;
      if (entry.level === "error" || entry.level === "fatal") return String(entry.msg);
    } catch {
      continue; // a line cut short by a kill
    }
  }
  return undefined;
}
