import { watch } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { Wake } from "../pods/wake.ts";
import { type LogLine, parseLogLine } from "./log-line.ts";
import { tailOffset } from "./log-tail.ts";

export interface ReadLogOptions {
  readonly path: string;
  readonly follow: boolean;
  /** The last so many lines; all without it. */
  readonly tailLines: number | undefined;
  /** Nothing older than this, in Unix ms. */
  readonly sinceMs: number | undefined;
  readonly timestamps: boolean;
  readonly limitBytes: number | undefined;
  readonly stream: "all" | "stdout" | "stderr";
  /** Whether the container still writes. */
  readonly isRunning: () => Promise<boolean>;
  /** Calls back when the container may have ended, until the returned function is called. */
  readonly onContainerChange: (listener: () => void) => () => void;
  readonly signal: AbortSignal;
}

const chunkBytes = 64 * 1024;
/** A line without an end is cut here: no writer of CRI logs makes longer ones. */
const maxLineBytes = 1024 * 1024;

/** Reads lines from a position on; keeps what is not a whole line yet. */
class LineReader {
  #rest: Buffer = Buffer.alloc(0);
  #position: number;
  readonly #file: FileHandle;

  constructor(file: FileHandle, position: number) {
    this.#file = file;
    this.#position = position;
  }

  /** The lines that are there now; none at the present end of the file. */
  async read(): Promise<Buffer[]> {
    const { bytesRead, buffer } = await this.#file.read(Buffer.alloc(chunkBytes), 0, chunkBytes, this.#position);
    if (bytesRead === 0) return [];
    this.#position += bytesRead;
    const text = Buffer.concat([this.#rest, buffer.subarray(0, bytesRead)]);
    const lines: Buffer[] = [];
    let start = 0;
    for (let end = text.indexOf(0x0a); end >= 0; end = text.indexOf(0x0a, start)) {
      lines.push(text.subarray(start, end));
      start = end + 1;
    }
    this.#rest = Buffer.from(text.subarray(start));
    if (this.#rest.length > maxLineBytes) this.#rest = Buffer.alloc(0);
    return lines.length === 0 ? this.read() : lines;
  }

  /** Whether the file under `path` is another one by now: the log was rotated. */
  async isReplaced(path: string): Promise<boolean> {
    const now = await stat(path).catch(() => undefined);
    return now !== undefined && now.ino !== (await this.#file.stat()).ino;
  }
}

/** Turns lines into what a reader of the log gets: filtered, with or without times, whole lines with a newline. */
class LineFormat {
  readonly #options: ReadLogOptions;
  #continued = false;

  constructor(options: ReadLogOptions) {
    this.#options = options;
  }

  format(line: LogLine): Buffer | undefined {
    const { sinceMs, timestamps, stream } = this.#options;
    if (stream !== "all" && line.stream !== stream) return undefined;
    if (sinceMs !== undefined && Date.parse(line.timestamp) < sinceMs) return undefined;
    const prefix = timestamps && !this.#continued ? `${line.timestamp} ` : "";
    this.#continued = line.partial;
    return Buffer.concat([Buffer.from(prefix), line.content, Buffer.from(line.partial ? "" : "\n")]);
  }
}

/**
 * Yields a container's log as its reader wants it. Following waits for the kernel's word that the file has changed, goes over to the new file
 * when the log is rotated, and ends when the container has ended and everything is read.
 */
export async function* readContainerLog(options: ReadLogOptions): AsyncGenerator<Buffer, void, undefined> {
  const { path, follow, tailLines, signal } = options;
  const wake = new Wake();
  let limit = options.limitBytes ?? Number.POSITIVE_INFINITY;
  const format = new LineFormat(options);
  using cleanup = new DisposableStack();
  if (follow) {
    // The folder is watched, not the file: a rotated log is another file of the same name.
    const watcher = watch(dirname(path), (_event, name) => {
      if (name === null || name === basename(path)) wake.call();
    });
    watcher.on("error", () => wake.call());
    cleanup.defer(() => watcher.close());
    cleanup.defer(options.onContainerChange(() => wake.call()));
  }
  let file = await open(path, "r");
  try {
    const { size } = await file.stat();
    let reader = new LineReader(file, tailLines === undefined ? 0 : await tailOffset(file, size, tailLines));
    let ended = !follow;
    while (!signal.aborted) {
      const lines = await reader.read();
      for (const bytes of lines) {
        const line = parseLogLine(bytes);
        const text = line === undefined ? undefined : format.format(line);
        if (text === undefined) continue;
        yield text.length > limit ? text.subarray(0, limit) : text;
        limit -= text.length;
        if (limit <= 0) return;
      }
      if (lines.length > 0) continue;
      if (follow && (await reader.isReplaced(path))) {
        await file.close();
        file = await open(path, "r");
        reader = new LineReader(file, 0);
        continue;
      }
      if (ended) return;
      // Asked before the wait, so that what is written between the two is still read: an ended container gets one more round.
      if (await options.isRunning()) await wake.wait(undefined, signal);
      else ended = true;
    }
  } finally {
    await file.close();
  }
}
