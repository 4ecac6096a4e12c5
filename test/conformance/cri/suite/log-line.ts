import assert from "node:assert/strict";

/** A line of a container's log in CRI's format: TIME STREAM TAG TEXT. */
export interface LogLine {
  readonly stream: "stdout" | "stderr";
  /** False when the program's line goes on in the next one. */
  readonly whole: boolean;
  readonly text: string;
}

/** Reads a log; what is not in the format is an error. */
export function parseLog(content: Buffer): LogLine[] {
  const text = content.toString("latin1");
  if (text === "") return [];
  assert.ok(text.endsWith("\n"), "the log ends in the middle of a line");
  return text
    .slice(0, -1)
    .split("\n")
    .map((line) => {
      const match = /^(\S+) (stdout|stderr) (\S+) (.*)$/s.exec(line);
      assert.ok(match, `not a line of a CRI log: ${JSON.stringify(line.slice(0, 200))}`);
      const [, time = "", stream, tags = "", rest = ""] = match;
      assert.match(
        time,
        /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/,
        "not a time of RFC 3339",
      );
      const [tag] = tags.split(":");
      assert.ok(tag === "F" || tag === "P", `${tag} is neither F nor P`);
      return { stream: stream === "stdout" ? "stdout" : "stderr", whole: tag === "F", text: rest };
    });
}

/** What the program wrote to one stream: partial lines joined. */
export const streamOf = (lines: readonly LogLine[], stream: LogLine["stream"]): string =>
  lines
    .filter((line) => line.stream === stream)
    .map((line) => (line.whole ? `${line.text}\n` : line.text))
    .join("");
