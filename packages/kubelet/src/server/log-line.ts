/** One line of a CRI log. */
export interface LogLine {
  /** RFC 3339 with nanoseconds; UTC as Z, whichever way the runtime writes it. */
  readonly timestamp: string;
  readonly stream: "stdout" | "stderr";
  /** A piece of a longer line: no newline follows it. */
  readonly partial: boolean;
  readonly content: Buffer;
}

/** Parses a line (without its newline) of a CRI log: `TIME stdout|stderr P|F[:tags] CONTENT`; undefined for anything else. */
export function parseLogLine(line: Buffer): LogLine | undefined {
  const first = line.indexOf(0x20);
  const second = first < 0 ? -1 : line.indexOf(0x20, first + 1);
  if (second < 0) return undefined;
  const third = line.indexOf(0x20, second + 1);
  const stream = line.toString("latin1", first + 1, second);
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  const tag = line.toString("latin1", second + 1, third < 0 ? line.length : third).split(":")[0];
  if (tag !== "P" && tag !== "F") return undefined;
  return {
    timestamp: line.toString("latin1", 0, first).replace(/[+-]00:00$/, "Z"),
    stream,
    partial: tag === "P",
    content: third < 0 ? Buffer.alloc(0) : line.subarray(third + 1),
  };
}
