import { readFileSync } from "node:fs";

/** The last error line of a runtime's JSON log, runc's or youki's; undefined when there is none. */
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
      if (typeof entry !== "object" || entry === null || !("level" in entry)) continue;
      if (!/^(error|fatal)$/i.test(String(entry.level))) continue;
      if ("msg" in entry) return String(entry.msg);
      if ("message" in entry) return String(entry.message).split("\n")[0]; // what youki adds is its own stack
    } catch {
      continue; // a line cut short by a kill
    }
  }
  return undefined;
}

/** The last error in what a runtime prints as text (`time="…" level=error msg="…"`), without the warnings around it. */
export function runcErrorInText(text: string): string {
  for (const line of text.trim().split("\n").toReversed()) {
    const quoted = / level=(?:error|fatal) msg=("(?:[^"\\]|\\.)*")/.exec(line)?.[1];
    if (quoted === undefined) continue;
    return unquoted(quoted);
  }
  return text.trim();
}

/** Go quotes as JSON does, except for bytes that are no UTF-8. */
function unquoted(text: string): string {
  try {
    return String(JSON.parse(text));
  } catch {
    return text.slice(1, -1);
  }
}
