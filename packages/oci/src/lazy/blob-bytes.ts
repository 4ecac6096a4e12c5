import { readSync, rmSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { Backoff, codeOf, Limiter } from "@tripod/base";
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
/** What was written a moment ago is in memory: less than this is read at once, without a thread. */
const readAtOnceBytes = 128 * 1024;
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
  /** The file that the blob comes in by, also when it has become the blob, whoever removes that. */
  #file: FileHandle | undefined;
  /** How much of it is there, from its beginning on. */
  #arrivedBytes = 0;

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
    if (range.end <= this.#arrivedBytes && this.#file !== undefined) {
      const bytes = await readRange(this.#file, range);
      if (bytes !== undefined) yield bytes;
    }
    if (this.#keptRanges.covers(range)) {
      const bytes = await readRange(this.#kept, range);
      if (bytes !== undefined) yield bytes;
    }
    for (let attempt = 0; attempt < 2; attempt += 1) yield await this.#fetches.run(() => this.#fetch(range));
  }

  /** To be told how much of the blob has come in. It may be taken back, as what has come is not verified yet. */
  arrived(bytes: number): void {
    this.#arrivedBytes = bytes;
    if (bytes > 0) void this.#open();
  }

  /** Keeps the whole blob open from now on, where it is. */
  async arrivedWhole(): Promise<void> {
    await this.#open();
    this.#arrivedBytes = this.#options.blob.size;
  }

  async #open(): Promise<void> {
    if (this.#file !== undefined) return;
    const { content, blob } = this.#options;
    const found =
      (await openIfThere(content.pathOf(blob.digest))) ?? (await openIfThere(content.partialPathOf(blob.digest)));
    if (this.#file === undefined) this.#file = found;
    else await found?.close(); // another call was faster
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
    await this.#file?.close();
  }
}

/** Undefined when it is not there, or cannot be opened: then its bytes are fetched. */
const openIfThere = (path: string): Promise<FileHandle | undefined> => open(path, "r").catch(() => undefined);

/** Undefined when the file is shorter. */
async function readRange(file: FileHandle, { start, end }: ByteRange): Promise<Buffer | undefined> {
  const bytes = Buffer.allocUnsafe(end - start);
  for (let done = 0; done < bytes.length; ) {
    const [left, at] = [bytes.length - done, start + done];
    const bytesRead =
      bytes.length <= readAtOnceBytes
        ? readSync(file.fd, bytes, done, left, at)
        : (await file.read(bytes, done, left, at)).bytesRead;
    if (bytesRead === 0) return undefined;
    done += bytesRead;
  }
  return bytes;
}
