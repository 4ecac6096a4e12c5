import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isNodeError, randomHex } from "@tripod/base";
import { waitForExit } from "@tripod/linux";
import type { CriContext } from "../context.ts";

/** Where a checkpoint is put together before it becomes an archive. */
export interface WorkFolder extends AsyncDisposable {
  readonly path: string;
  /** Beside the checkpoint's final place, so that a rename makes it complete. */
  readonly partial: string;
}

const workFolders = (context: Pick<CriContext, "layout">): string => join(context.layout.libDir, "checkpoints");
const noteIn = (folder: string): string => join(folder, "partial-archive");

/** Makes a folder for one checkpoint, which is to be at `location`; disposing of it leaves nothing but that. */
export function makeWorkFolder(context: Pick<CriContext, "layout">, location: string): WorkFolder {
  const name = randomHex(8);
  const path = join(workFolders(context), name);
  const partial = join(dirname(location), `.${basename(location)}.${name}.partial`);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  writeFileSync(noteIn(path), partial); // by which the next start finds it
  return { path, partial, [Symbol.asyncDispose]: () => removeWork(path, partial) };
}

async function removeWork(path: string, partial: string): Promise<void> {
  await rm(partial, { recursive: true, force: true });
  await rm(path, { recursive: true, force: true });
}

/** The processes that write into a checkpoint's folders: a runtime, its criu, a tar. They outlive a server that is killed. */
function writersOf(folders: readonly string[]): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const words = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
        return folders.some((folder) => words.some((word) => word === folder || word.startsWith(`${folder}/`)));
      } catch {
        return false; // it ended since readdir
      }
    })
    .map(Number);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!isNodeError(error, "ESRCH")) throw error;
  }
}

/** How long a checkpoint that an earlier process of ours began may go on; killed in its middle, the container might be harmed. */
const patienceMs = 60_000;

/**
 * Takes away what checkpoints left that were under way when this server was killed, once whoever still writes them has ended. Done before
 * the containers are looked at, so that a paused one is found and let go on.
 */
export async function removeLeftCheckpoints(context: Pick<CriContext, "layout">): Promise<number> {
  const folders = workFolders(context);
  if (!existsSync(folders)) return 0;
  const names = readdirSync(folders);
  for (const name of names) {
    const path = join(folders, name);
    let partial = "";
    try {
      partial = readFileSync(noteIn(path), "utf8");
    } catch (error) {
      if (!isNodeError(error, "ENOENT")) throw error; // killed before it was written: there is none
    }
    const signal = AbortSignal.timeout(patienceMs);
    for (const pid of writersOf(partial === "" ? [path] : [path, partial])) {
      await waitForExit(pid, { signal }).catch((error: unknown) => {
        if (!signal.aborted) throw error;
        kill(pid);
      });
    }
    if (partial !== "") await rm(partial, { recursive: true, force: true });
    await rm(path, { recursive: true, force: true });
  }
  return names.length;
}
