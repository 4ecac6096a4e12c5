import type { FileHandle } from "node:fs/promises";
import { parseLogLine } from "./log-line.ts";

const blockBytes = 64 * 1024;

/** The offset in a CRI log from which its last `count` whole lines begin; pieces of one line count as one. */
export async function tailOffset(file: FileHandle, size: number, count: number): Promise<number> {
  if (count <= 0) return size;
  let found = 0;
  /** Start of the earliest line that belongs to the tail so far. */
  let offset = size;
  /** Bytes between the present block's end and the next newline: the end of a line that begins earlier. */
  let rest: Buffer = Buffer.alloc(0);
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - blockBytes);
    const block = Buffer.alloc(end - start);
    await file.read(block, 0, block.length, start);
    const text = Buffer.concat([block, rest]);
    let lineEnd = text.length;
    if (end === size && text[lineEnd - 1] === 0x0a) lineEnd -= 1;
    for (;;) {
      const newline = lineEnd === 0 ? -1 : text.lastIndexOf(0x0a, lineEnd - 1);
      if (newline < 0 && start > 0) break; // the line's beginning is in an earlier block
      const line = parseLogLine(text.subarray(newline + 1, lineEnd));
      // A whole line ends what came before it: with enough found, everything earlier is out.
      if (line !== undefined && !line.partial) {
        if (found === count) return offset;
        found += 1;
      }
      offset = start + newline + 1;
      if (newline < 0) return offset;
      lineEnd = newline;
    }
    // What is left of the text has no newline before it in this block.
    rest = Buffer.from(text.subarray(0, lineEnd));
    end = start;
  }
  return offset;
}
