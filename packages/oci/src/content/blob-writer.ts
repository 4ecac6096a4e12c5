import { createHash } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { failpoint } from "@tripod/base";
import { tryLockDescriptor } from "@tripod/linux";
import type { Digest } from "../digest.ts";
import type { BlobIdentity } from "./ingest.ts";

/** A blob that is being made: its digest shows at the end. Disposing of it before publish() drops it. */
export class BlobWriter implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #targetOf: (digest: Digest) => string;
  readonly #hash = createHash("sha256");
  #size = 0;
  #published = false;

  private constructor(file: FileHandle, path: string, targetOf: (digest: Digest) => string) {
    this.#file = file;
    this.#path = path;
    this.#targetOf = targetOf;
  }

  static async open(path: string, targetOf: (digest: Digest) => string): Promise<BlobWriter> {
    const file = await open(path, "wx", 0o644);
    tryLockDescriptor(file.fd); // nobody else has it: so that a sweep of another process leaves it alone
    return new BlobWriter(file, path, targetOf);
  }

  async write(piece: Uint8Array): Promise<void> {
    this.#hash.update(piece);
    for (let done = 0; done < piece.byteLength; ) {
      done += (await this.#file.write(piece, done, piece.byteLength - done)).bytesWritten;
    }
    this.#size += piece.byteLength;
  }

  /** What has been written. */
  identity(): BlobIdentity {
    return { digest: `sha256:${this.#hash.copy().digest("hex")}`, size: this.#size };
  }

  /** Moves the blob into the store, on the disk when this returns. The caller's lease must hold its digest already. */
  async publish(): Promise<BlobIdentity> {
    const identity = this.identity();
    const target = this.#targetOf(identity.digest);
    await this.#file.sync();
    failpoint("oci.blob.written");
    await rename(this.#path, target);
    this.#published = true;
    await using folder = await open(dirname(target), "r");
    await folder.sync();
    return identity;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#published) await rm(this.#path, { force: true });
    await this.#file.close();
  }
}
