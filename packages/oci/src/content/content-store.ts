import { mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { readFile, stat, rm } from "node:fs/promises";
import { join } from "node:path";
import { isNodeError, randomHex, TripodError } from "@tripod/base";
import { type Digest, digestOf, hexOf, isDigest } from "../digest.ts";
import { BlobWriter } from "./blob-writer.ts";
import { type BlobIdentity, Ingest, removeOrphan } from "./ingest.ts";

/**
 * Blobs by digest in OCI layout (`blobs/sha256/HEX`), and partial downloads (`ingest/HEX`). A blob was whole and verified when it
 * came in; its size is checked again at each use, because power cuts can truncate files.
 */
export class ContentStore {
  readonly #blobs: string;
  readonly #ingests: string;

  constructor(dir: string) {
    this.#blobs = join(dir, "blobs", "sha256");
    this.#ingests = join(dir, "ingest");
    mkdirSync(this.#blobs, { recursive: true, mode: 0o700 });
    mkdirSync(this.#ingests, { recursive: true, mode: 0o700 });
  }

  pathOf(digest: Digest): string {
    return join(this.#blobs, hexOf(digest));
  }

  /** Where a blob is while it comes in, from its beginning on; nothing is there before and after. */
  partialPathOf(digest: Digest): string {
    return join(this.#ingests, hexOf(digest));
  }

  /** How large the blob is on the disk; undefined when it is not there. */
  async sizeOf(digest: Digest): Promise<number | undefined> {
    try {
      return (await stat(this.pathOf(digest))).size;
    } catch (error) {
      if (isNodeError(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /** True when the blob is there at its full size; one of another size is damaged, and removed. */
  async has(blob: BlobIdentity): Promise<boolean> {
    const size = await this.sizeOf(blob.digest);
    if (size === blob.size) return true;
    if (size !== undefined) await this.discard(blob.digest);
    return false;
  }

  /** Removes a blob that was found damaged. */
  async discard(digest: Digest): Promise<void> {
    await rm(this.pathOf(digest), { force: true });
  }

  /** Begins, or goes on with, a blob; undefined when it is there already, or was brought in by whoever was at it and has been waited for. */
  ingest(blob: BlobIdentity, options: { readonly signal?: AbortSignal } = {}): Promise<Ingest | undefined> {
    return Ingest.open(this.#ingests, this.pathOf(blob.digest), { ...options, blob, there: () => this.has(blob) });
  }

  /** Begins a blob whose digest is not known yet. */
  writer(): Promise<BlobWriter> {
    return BlobWriter.open(`${this.#ingests}/new.${randomHex(8)}`, (digest) => this.pathOf(digest));
  }

  /** Stores bytes that are in memory. */
  async put(bytes: Uint8Array): Promise<Digest> {
    const blob = { digest: digestOf(bytes), size: bytes.byteLength };
    // Read, not only looked for: a damaged one makes way here.
    if ((await this.has(blob)) && (await this.read(blob.digest, blob.size)) !== undefined) return blob.digest;
    await using ingest = await this.ingest(blob);
    if (ingest === undefined) return blob.digest;
    await ingest.reset();
    await ingest.write(bytes);
    await ingest.commit();
    return blob.digest;
  }

  /** A small blob, verified again; undefined when it is not there, or damaged. */
  async read(digest: Digest, limitBytes: number): Promise<Buffer | undefined> {
    try {
      const { size } = await stat(this.pathOf(digest));
      if (size > limitBytes) throw new TripodError("invalid", `${digest}: ${size} bytes are too many for a document`);
      const bytes = await readFile(this.pathOf(digest));
      if (digestOf(bytes) === digest) return bytes;
      await this.discard(digest);
      return undefined;
    } catch (error) {
      if (isNodeError(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /** Digest and size of every blob; one step without waiting, for use inside a transaction. */
  list(): BlobIdentity[] {
    return readdirSync(this.#blobs).flatMap((name) => {
      const digest = `sha256:${name}`;
      const found = statSync(join(this.#blobs, name), { throwIfNoEntry: false });
      return isDigest(digest) && found !== undefined ? [{ digest, size: found.size }] : [];
    });
  }

  /**
   * Takes blobs for which `keep` is false out of the store, in one step without waiting. What is returned are the files to be
   * removed, and how many bytes they hold.
   */
  takeAway(keep: (digest: Digest) => boolean): { readonly paths: string[]; readonly bytes: number } {
    const paths: string[] = [];
    let bytes = 0;
    for (const { digest, size } of this.list()) {
      if (keep(digest)) continue;
      const away = join(this.#ingests, `${hexOf(digest)}.${randomHex(4)}`);
      try {
        renameSync(this.pathOf(digest), away);
      } catch (error) {
        if (isNodeError(error, "ENOENT")) continue; // another process has found it damaged meanwhile
        throw error;
      }
      paths.push(away);
      bytes += size;
    }
    return { paths, bytes };
  }

  /** Removes partial downloads that nobody works on and that are older than `ageMs`. */
  sweepIngests(ageMs: number): void {
    for (const name of readdirSync(this.#ingests)) {
      const path = join(this.#ingests, name);
      const found = statSync(path, { throwIfNoEntry: false });
      if (found === undefined) continue;
      const old = Date.now() - found.mtimeMs > ageMs;
      // A name with a dot was one process's own: nobody can go on with it.
      if (old || name.includes(".")) removeOrphan(path);
    }
  }
}
