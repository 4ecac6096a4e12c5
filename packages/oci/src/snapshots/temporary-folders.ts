import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isNodeError, randomHex } from "@tripod/base";
import { processIsRunning, processStartTime } from "@tripod/linux";

/** Names this process so that another can tell later whether it still lives: "PID-STARTTIME". */
export const processToken = (): string => `${process.pid}-${processStartTime(process.pid)}`;

/** Whether the process that made the token (or a name that begins with it) still runs. */
export function tokenAlive(token: string): boolean {
  const [pid, startTime] = token.split("-");
  return startTime !== undefined && processIsRunning(Number(pid), Number(startTime));
}

/** Folders for work that is not complete. Those of processes that are gone are rubbish. */
export class TemporaryFolders {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  #name(): string {
    return join(this.#dir, `${processToken()}-${randomHex(6)}`);
  }

  async make(): Promise<string> {
    const path = this.#name();
    await mkdir(path, { mode: 0o700 });
    return path;
  }

  /** Takes a folder out of its place at once; what is returned is to be removed. Undefined when it was not there. */
  takeAway(path: string): string | undefined {
    const away = this.#name();
    try {
      renameSync(path, away);
      return away;
    } catch (error) {
      if (isNodeError(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /** Removes what dead processes left, by `remove` where more than files may be in it. */
  async sweep(
    remove: (path: string) => Promise<void> = (path) => rm(path, { recursive: true, force: true }),
  ): Promise<void> {
    for (const name of readdirSync(this.#dir)) {
      if (!tokenAlive(name)) await remove(join(this.#dir, name));
    }
  }
}
