import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { isNodeError, writeFileAtomicSync } from "@tripod/base";

/** Which volume was published at a path of this node: a file each, for volumes that an administrator has made may have any id. */
export class Publications {
  readonly #dir: string;

  constructor(stateDir: string) {
    this.#dir = join(resolve(stateDir), "published");
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
  }

  put(targetPath: string, volumeId: string): void {
    writeFileAtomicSync(this.#file(targetPath), volumeId);
  }

  volumeAt(targetPath: string): string | undefined {
    try {
      return readFileSync(this.#file(targetPath), "utf8");
    } catch (error) {
      if (isNodeError(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  remove(targetPath: string): void {
    rmSync(this.#file(targetPath), { force: true });
  }

  #file(targetPath: string): string {
    return join(this.#dir, createHash("sha256").update(targetPath).digest("hex").slice(0, 32));
  }
}
