import { codeOf, messageOf, TripodError } from "@tripod/base";
import { type Digest, digestOf } from "../digest.ts";
import type { BlobBytes } from "./blob-bytes.ts";
import { inflatePart } from "./inflate-part.ts";
import type { DataChunk } from "./layer-toc.ts";

/** Decompressed chunks that were asked for last; beside them the kernel keeps what was read. */
const cacheBytes = 24 * 1024 * 1024;

/** Gives chunks by their digests. No byte leaves it that was not verified. */
export class ChunkCache {
  /** The one that was used last is last. */
  readonly #chunks = new Map<Digest, Buffer>();
  readonly #coming = new Map<Digest, Promise<Buffer>>();
  #bytes = 0;

  /** A chunk of a blob; who gives up waiting leaves the work to others that wait for it. */
  async get(chunk: DataChunk, blob: BlobBytes, signal: AbortSignal): Promise<Buffer> {
    const { digest } = chunk.data;
    const known = this.#chunks.get(digest);
    if (known !== undefined) {
      this.#chunks.delete(digest);
      this.#chunks.set(digest, known);
      return known;
    }
    let coming = this.#coming.get(digest);
    if (coming === undefined) {
      coming = this.#bring(chunk, blob).finally(() => this.#coming.delete(digest));
      coming.catch(() => undefined); // told to those that wait
      this.#coming.set(digest, coming);
    }
    return orAborted(coming, signal);
  }

  async #bring(chunk: DataChunk, blob: BlobBytes): Promise<Buffer> {
    const { digest } = chunk.data;
    const content = await bringChunk(chunk, blob);
    this.#chunks.set(digest, content);
    this.#bytes += content.length;
    for (const [oldest, { length }] of this.#chunks) {
      if (this.#bytes <= cacheBytes) break;
      this.#chunks.delete(oldest);
      this.#bytes -= length;
    }
    return content;
  }
}

async function bringChunk({ length, data }: DataChunk, blob: BlobBytes): Promise<Buffer> {
  const { digest, source } = data;
  // What compression can add to this much content; a table that says more is no reason to fetch more.
  const most = source.skip + length + ((source.skip + length) >> 8) + 64 * 1024;
  const range = { start: source.start, end: Math.min(source.end, source.start + most) };
  let wrong: unknown;
  for await (const compressed of blob.candidates(range)) {
    try {
      const content = await inflatePart(compressed, source, length);
      const found = digestOf(content);
      if (found === digest) return content;
      wrong = new TripodError("corrupt", `it has the digest ${found}`);
    } catch (error) {
      if (codeOf(error) !== "corrupt") throw error;
      wrong = error;
    }
  }
  throw new TripodError("corrupt", `chunk ${digest}: ${messageOf(wrong)}; nobody gives the right one`, {
    cause: wrong,
  });
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener("abort", onAbort));
}
