import { createWriteStream } from "node:fs";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { TripodError } from "@tripod/base";

/** Writes all that a stream gives to a file, because an archive is read more than once. Returns the file's path. */
export async function spoolInput(input: Readable, path: string, signal: AbortSignal | undefined): Promise<string> {
  if ("isTTY" in input && input.isTTY === true)
    throw new TripodError(
      "invalid",
      "read an archive from standard input: that is a terminal; name a file, or pipe one in",
    );
  await pipeline(input, createWriteStream(path, { mode: 0o600 }), signal === undefined ? {} : { signal });
  return path;
}
