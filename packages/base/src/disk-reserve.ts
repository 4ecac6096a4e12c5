import { randomBytes } from "node:crypto";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { codeOf } from "./error.ts";

/** Enough for a database to note that a few things are gone. */
const reserveBytes = 128 * 1024;

/** Room on a disk that is kept for what must still work when the disk is full: forgetting what has filled it. */
export class DiskReserve {
  readonly #path: string;
  #held = false;

  /** `path`: a file that takes up the room. */
  constructor(path: string) {
    this.#path = path;
    this.#held = existsSync(path);
  }

  /** Takes the room up, unless it is held already or the disk is too full. */
  hold(): void {
    if (this.#held) return;
    try {
      writeFileSync(this.#path, randomBytes(reserveBytes), { mode: 0o600 }); // zeros could take up no room
      this.#held = true;
    } catch (error) {
      rmSync(this.#path, { force: true });
      if (codeOf(error) !== "exhausted") throw error;
    }
  }

  /** Runs `work`; should the disk be full, gives up the room and runs it once more. */
  spend<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (codeOf(error) !== "exhausted" || !existsSync(this.#path)) throw error;
      rmSync(this.#path, { force: true });
      this.#held = false;
      return work();
    }
  }
}
