import { createHash, type Hash } from "node:crypto";
import { closeSync, openSync, rmSync } from "node:fs";
import { open, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { codeOf, failpoint, isNodeError, TripodError } from "@tripod/base";
import { lockDescriptor, tryLockDescriptor } from "@tripod/linux";
import { type Digest, hexOf } from "../digest.ts";

/** What a blob must turn out to be. */
export interface BlobIdentity {
  readonly digest: Digest;
  readonly size: number;
}

const readBytes = 256 * 1024;

/**
 * A blob on its way in. Bytes are hashed as they come; commit() lets it into the store only when size and digest are right. What
 * was written stays for the next attempt when the process dies or the ingest is just disposed of. One at a time has a blob's ingest open,
 * among all processes.
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
   * Opens the partial download of `blob` in `dir`, or begins one; it becomes `target`. Who else is at the same blob, in this process or another,
   * is waited for; undefined when it has brought the blob in meanwhile (`there` tells).
   */
  static async open(
    dir: string,
    target: string,
    options: { blob: BlobIdentity; there: () => Promise<boolean>; signal?: AbortSignal },
  ): Promise<Ingest | undefined> {
    const { blob, there, signal } = options;
    const path = `${dir}/${hexOf(blob.digest)}`;
    const file = await openLocked(path, signal);
    const ingest = new Ingest(file, path, { target, blob });
    try {
      if (await there()) {
        await rm(path, { force: true });
        await ingest[Symbol.asyncDispose]();
        return undefined;
      }
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
    try {
      for (let done = 0; done < piece.byteLength; ) {
        done += (await this.#file.write(piece, done, piece.byteLength - done)).bytesWritten;
      }
    } catch (cause) {
      if (codeOf(cause) !== "exhausted") throw cause;
      await this.reset(); // others need the room more than a later attempt needs these bytes
      const what = `store ${this.#blob.digest} of ${this.#blob.size} bytes`;
      throw new TripodError("exhausted", `${what}: no room left on the disk; remove unused images`, { cause });
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

  /** Lets go of the partial file; it stays for the next attempt. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#file.close();
  }
}

/** Opens the file and locks it; whoever held the lock may have renamed the file away, then another one is opened. */
async function openLocked(path: string, signal: AbortSignal | undefined): Promise<FileHandle> {
  for (;;) {
    const file = await open(path, "a+", 0o600);
    try {
      await lockDescriptor(file.fd, signal === undefined ? {} : { signal });
      if ((await file.stat()).ino === (await inodeOf(path))) return file;
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
  }
}

async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).ino;
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Removes a partial file unless a process is at work on it; the lock is held meanwhile, so that none can begin. Absent is no error. */
export function removeOrphan(path: string): void {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return; // another process sweeps too
    throw error;
  }
  try {
    if (tryLockDescriptor(fd)) rmSync(path, { force: true });
  } finally {
    closeSync(fd);
  }
}
