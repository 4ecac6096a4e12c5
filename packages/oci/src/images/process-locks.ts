import { mkdirSync, readdirSync } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { lockDescriptor } from "@tripod/linux";
import { removeOrphan } from "../content/ingest.ts";

/** Keeps the processes that have a store open from doing the same work side by side. A lock ends with its process. */
export class ProcessLocks {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  /** Waits until this caller alone holds the key's lock, a file of that name; disposing of it lets go. */
  async hold(key: string, signal?: AbortSignal): Promise<AsyncDisposable> {
    const path = join(this.#dir, key);
    for (;;) {
      const file = await open(path, "a", 0o600);
      try {
        await lockDescriptor(file.fd, signal === undefined ? {} : { signal });
        // The holder before may have removed the file that we waited at: then it says nothing any more.
        if ((await file.stat()).nlink > 0) return new HeldLock(path, file);
      } catch (error) {
        await file.close();
        throw error;
      }
      await file.close();
    }
  }

  /** Removes the files of locks that nobody holds: dead processes leave theirs. */
  sweep(): void {
    for (const name of readdirSync(this.#dir)) removeOrphan(join(this.#dir, name));
  }
}

/** A lock that is held. */
class HeldLock implements AsyncDisposable {
  readonly #path: string;
  readonly #file: FileHandle;

  constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#path, { force: true }); // before the lock goes with the file
    await this.#file.close();
  }
}
