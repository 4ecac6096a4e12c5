import { type FSWatcher, readdirSync, readFileSync, rmSync, statSync, watch } from "node:fs";
import { join } from "node:path";
import { isNodeError, type Logger, messageOf } from "@tripod/base";

/** What the supervisor has left behind about a container's end. */
export interface ExitFile {
  readonly code: number;
  /** Nanoseconds since 1970. */
  readonly atNs: bigint;
}

/** Follows the folder in which supervisors leave exit codes, and lets others wait for a container's end. */
export class ExitWatch {
  readonly #dir: string;
  readonly #waiting = new Map<string, PromiseWithResolvers<void>>();
  #watcher: FSWatcher | undefined;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Calls `onExit` with the container's id when its file appears; what is there already is not reported. */
  start(onExit: (id: string) => void, log: Logger): void {
    this.#watcher = watch(this.#dir, (_event, name) => {
      // Supervisors write to a temporary name first and rename.
      if (name === null || !/^[0-9a-f]{64}$/.test(name)) return;
      try {
        onExit(name);
      } catch (error) {
        log.error({ container: name, error: messageOf(error) }, "container: its end could not be recorded");
      }
    });
    this.#watcher.on("error", (error) =>
      log.error({ error: messageOf(error) }, "exit codes: watching the folder failed"),
    );
  }

  /** The exit of container `id`; undefined as long as there is none. */
  read(id: string): ExitFile | undefined {
    const path = join(this.#dir, id);
    try {
      const text = readFileSync(path, "utf8").trim();
      if (!/^-?\d+$/.test(text)) return undefined; // made, and written in the next moment
      return { code: Number(text) & 0xff, atNs: statSync(path, { bigint: true }).mtimeNs };
    } catch (error) {
      if (isNodeError(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /** Resolves at the next settled(id); the caller has seen that the container lives. */
  ended(id: string): Promise<void> {
    const waiting = this.#waiting.get(id) ?? Promise.withResolvers<void>();
    this.#waiting.set(id, waiting);
    return waiting.promise;
  }

  /** Tells those who wait that the container's end is on record. */
  settled(id: string): void {
    this.#waiting.get(id)?.resolve();
    this.#waiting.delete(id);
  }

  forget(id: string): void {
    rmSync(join(this.#dir, id), { force: true });
    this.settled(id);
  }

  /** Removes what supervisors that were killed have left half-written, and the files of containers that `isKnown` does not know. */
  sweep(isKnown: (id: string) => boolean): void {
    for (const name of readdirSync(this.#dir)) if (!isKnown(name)) rmSync(join(this.#dir, name), { force: true });
  }

  stop(): void {
    this.#watcher?.close();
  }
}
