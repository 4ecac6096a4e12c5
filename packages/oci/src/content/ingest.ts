import { createHash, type Hash } from "node:crypto";
import { closeSync, existsSync, openSync, rmSync } from "node:fs";
import { open, rename, rm, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { failpoint, randomHex, TripodError } from "@tripod/base";
import { tryLockDescriptor } from "@tripod/linux";
import { type Digest, hexOf } from "../digest.ts";

/** What a blob must turn out to be. */
export interface BlobIdentity {
  readonly digest: Digest;
  readonly size: number;
}

const readBytes = 256 * 1024;

/**
 * A blob on its way in. Bytes are hashed as they come; commit() lets it into the store only when size and digest are right. What
 * was written stays for the next attempt when the process dies or the ingest is just disposed of.
 */
export class Ingest implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #target: string;
  readonly #blob: BlobIdentity;
  #hash: Hash = createHash("sha256");
  #offset = 0;
  #closed = false;

  private constructor(file: FileHandle, path: string, options: { target: string; blob: BlobIdentity }) {
    this.#file = file;
    this.#path = path;
    this.#target = options.target;
    this.#blob = options.blob;
  }

  /**
   * Opens the partial download of `blob` in `dir`, or begins one; it becomes `target`. When another process is at the same blob
   * (the file is locked) this one downloads beside it.
   */
  static async open(
    dir: string,
    target: string,
    options: { blob: BlobIdentity; signal?: AbortSignal },
  ): Promise<Ingest> {
    const { blob, signal } = options;
    const shared = `${dir}/${hexOf(blob.digest)}`;
    let path = shared;
    let file = await open(path, "a+", 0o600);
    // The other process may rename the file away between our opening and our locking it: then it is not ours either.
    if (!tryLockDescriptor(file.fd) || !(await stillThere(path, file))) {
      await file.close();
      path = `${shared}.${randomHex(4)}`;
      file = await open(path, "ax+", 0o600);
      tryLockDescriptor(file.fd);
    }
    const ingest = new Ingest(file, path, { target, blob });
    try {
      await ingest.#recover(signal);
      return ingest;
    } catch (error) {
      await ingest[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** How many bytes are there already: where to go on. */
  get offset(): number {
    return this.#offset;
  }

  get missing(): number {
    return this.#blob.size - this.#offset;
  }

  async #recover(signal: AbortSignal | undefined): Promise<void> {
    const { size } = await this.#file.stat();
    if (size > this.#blob.size) {
      await this.#file.truncate(0);
      return;
    }
    const buffer = Buffer.allocUnsafe(Math.min(readBytes, size));
    while (this.#offset < size) {
      signal?.throwIfAborted();
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, this.#offset);
      if (bytesRead === 0) break;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.#offset += bytesRead;
    }
  }

  /** Appends; more than the blob's size is an error. Pieces of at most some 100 KiB keep the event loop free. */
  async write(piece: Uint8Array): Promise<void> {
    if (piece.byteLength > this.missing) {
      throw new TripodError(
        "corrupt",
        `${this.#blob.digest}: more than the ${this.#blob.size} bytes that were declared`,
      );
    }
    this.#hash.update(piece);
    for (let done = 0; done < piece.byteLength; ) {
      done += (await this.#file.write(piece, done, piece.byteLength - done)).bytesWritten;
    }
    this.#offset += piece.byteLength;
    failpoint("oci.ingest.written");
  }

  /** Forgets what is there and begins afresh. */
  async reset(): Promise<void> {
    await this.#file.truncate(0);
    this.#hash = createHash("sha256");
    this.#offset = 0;
  }

  /** Verifies size and digest, and moves the blob into the store, on the disk when this returns. */
  async commit(): Promise<void> {
    if (this.missing !== 0) {
      throw new TripodError(
        "corrupt",
        `${this.#blob.digest}: ${this.#offset} bytes came, ${this.#blob.size} were declared`,
      );
    }
    const found = `sha256:${this.#hash.copy().digest("hex")}`;
    if (found !== this.#blob.digest) {
      await this.reset();
      throw new TripodError("corrupt", `${this.#blob.digest}: what came has the digest ${found}`);
    }
    await this.#file.chmod(0o644);
    await this.#file.sync();
    failpoint("oci.ingest.synced");
    await rename(this.#path, this.#target);
    failpoint("oci.ingest.renamed");
    await using folder = await open(dirname(this.#target), "r");
    await folder.sync();
  }

  /** Lets go of the partial file; a private one (see open) is removed. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#path.includes(".", dirname(this.#path).length)) await rm(this.#path, { force: true });
    await this.#file.close();
  }
}

async function stillThere(path: string, file: FileHandle): Promise<boolean> {
  if (!existsSync(path)) return false;
  await using now = await open(path, "r");
  return (await now.stat()).ino === (await file.stat()).ino;
}

/** Removes a partial file unless a process is at work on it; the lock is held meanwhile, so that none can begin. */
export function removeOrphan(path: string): void {
  const fd = openSync(path, "r");
  try {
    if (tryLockDescriptor(fd)) rmSync(path, { force: true });
  } finally {
    closeSync(fd);
  }
}
