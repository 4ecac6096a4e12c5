import { createReadStream, mkdirSync } from "node:fs";
import { appendFile, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { SpanRecord } from "./span-record.ts";

const fileName = "spans.jsonl";
/** The file is turned at this size; one older file is kept. */
const turnAtBytes = 32 * 1024 * 1024;
/** Spans are written at most this often, in milliseconds; a kill -9 loses no more than that. */
const flushAfterMs = 200;

/** The spans on disk: `spans.jsonl` and, before it, `spans.jsonl.1`. */
export class SpanFile {
  readonly #path: string;
  #lines: string[] = [];
  #writing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(dir: string) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.#path = join(dir, fileName);
  }

  append(record: SpanRecord): void {
    this.#lines.push(`${JSON.stringify(record)}\n`);
    this.#timer ??= setTimeout(() => this.#flush(), flushAfterMs).unref();
  }

  #flush(): void {
    this.#timer = undefined;
    const text = this.#lines.join("");
    this.#lines = [];
    if (text !== "") this.#writing = this.#writing.then(() => this.#write(text));
  }

  async #write(text: string): Promise<void> {
    try {
      const size = await stat(this.#path).then(
        (found) => found.size,
        () => 0,
      );
      if (size > turnAtBytes) await rename(this.#path, `${this.#path}.1`);
      await appendFile(this.#path, text, { mode: 0o600 });
    } catch {
      // A full or read-only disk must not stop the node: spans stay in the ring.
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#flush();
    await this.#writing;
  }
}

/** Every span on disk under `dir`, oldest file first; a line cut short by a crash is passed over. */
export async function* readSpans(dir: string): AsyncGenerator<SpanRecord, void, undefined> {
  for (const name of [`${fileName}.1`, fileName]) {
    const path = join(dir, name);
    if (
      !(await stat(path).then(
        () => true,
        () => false,
      ))
    )
      continue;
    for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) {
      let record: SpanRecord;
      try {
        record = JSON.parse(line) as SpanRecord; // our own writer made the line
      } catch {
        continue;
      }
      yield record;
    }
  }
}
