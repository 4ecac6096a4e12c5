import { rmSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { Backoff, codeOf, isNodeError, Limiter } from "@tripod/base";
import type { ContentStore } from "../content/content-store.ts";
import type { ByteRange } from "../registry/fetch-range.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { Intervals } from "./intervals.ts";

export interface BlobBytesOptions {
  readonly content: Pick<ContentStore, "pathOf" | "partialPathOf">;
  readonly blob: Descriptor;
  /** Where parts that were fetched alone are kept: a file that is gone, by name, at once. */
  readonly scratch: string;
  readonly fetch: (range: ByteRange, signal: AbortSignal) => Promise<Buffer>;
  /** How long a fetch is tried again while the registry cannot be reached. */
  readonly patienceMs: number;
}

/** Neighbours are wanted next, and a request costs a round trip: nothing smaller is fetched. */
const leastFetchBytes = 256 * 1024;
/** Requests at once, for one blob. */
const parallelFetches = 6;

/** Failures that another attempt would meet too. */
const final: ReadonlySet<string> = new Set(["not-found", "permission-denied", "invalid", "unimplemented", "cancelled"]);

/** The bytes of a blob that is still coming in: from the disk as far as they are there, else by requests for parts of it. */
export class BlobBytes implements AsyncDisposable {
  readonly #options: BlobBytesOptions;
  readonly #kept: FileHandle;
  readonly #keptRanges = new Intervals();
  readonly #fetches = new Limiter(parallelFetches);
  #whole: FileHandle | undefined;

  private constructor(options: BlobBytesOptions, kept: FileHandle) {
    this.#options = options;
    this.#kept = kept;
  }

  static async open(options: BlobBytesOptions): Promise<BlobBytes> {
    const kept = await open(options.scratch, "wx+", 0o600);
    rmSync(options.scratch);
    return new BlobBytes(options, kept);
  }

  /**
   * What the bytes may be, one source after the other: who asks verifies them, and takes the next when they are not what they should be. The
   * registry comes last, twice. Its failure is the error of the last step.
   */
  async *candidates(range: ByteRange): AsyncGenerator<Buffer> {
    const here = (await this.#fromWhole(range)) ?? (await this.#fromPartial(range));
    if (here !== undefined) yield here;
    if (this.#keptRanges.covers(range)) {
      const bytes = await readRange(this.#kept, range);
      if (bytes !== undefined) yield bytes;
    }
    for (let attempt = 0; attempt < 2; attempt += 1) yield await this.#fetches.run(() => this.#fetch(range));
  }

  /** Keeps the whole blob open from now on, whoever removes it; false when it is not there. */
  async openWhole(): Promise<boolean> {
    if (this.#whole !== undefined) return true;
    const { content, blob } = this.#options;
    const found = await openIfThere(content.pathOf(blob.digest));
    if (found === undefined) return false;
    if (this.#whole === undefined) this.#whole = found;
    else await found.close(); // another call was faster
    return true;
  }

  async #fromWhole(range: ByteRange): Promise<Buffer | undefined> {
    return (await this.openWhole()) && this.#whole !== undefined ? readRange(this.#whole, range) : undefined;
  }

  async #fromPartial(range: ByteRange): Promise<Buffer | undefined> {
    const { content, blob } = this.#options;
    await using file = await openIfThere(content.partialPathOf(blob.digest));
    return file === undefined ? undefined : await readRange(file, range);
  }

  async #fetch(range: ByteRange): Promise<Buffer> {
    const { blob } = this.#options;
    const wider = { start: range.start, end: Math.min(blob.size, Math.max(range.end, range.start + leastFetchBytes)) };
    const bytes = await this.#patiently(wider);
    try {
      const { bytesWritten } = await this.#kept.write(bytes, 0, bytes.length, wider.start);
      this.#keptRanges.add({ start: wider.start, end: wider.start + bytesWritten });
    } catch (error) {
      if (codeOf(error) !== "exhausted") throw error; // no room: then it is fetched again when it is wanted again
    }
    return bytes.subarray(0, range.end - range.start);
  }

  async #patiently(range: ByteRange): Promise<Buffer> {
    const { fetch, patienceMs } = this.#options;
    const signal = AbortSignal.timeout(patienceMs);
    const backoff = new Backoff({ initialMs: 100, maxMs: 5000 });
    for (;;) {
      try {
        return await fetch(range, signal);
      } catch (error) {
        if (signal.aborted || final.has(codeOf(error))) throw error;
        const wait = backoff.next();
        await delay(wait, undefined, { signal }).catch(() => undefined);
        if (signal.aborted) throw error;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kept.close();
    await this.#whole?.close();
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Undefined when the file is shorter. */
async function readRange(file: FileHandle, { start, end }: ByteRange): Promise<Buffer | undefined> {
  const bytes = Buffer.allocUnsafe(end - start);
  for (let done = 0; done < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, start + done);
    if (bytesRead === 0) return undefined;
    done += bytesRead;
  }
  return bytes;
}
