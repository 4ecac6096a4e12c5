import { createHash } from "node:crypto";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { randomHex, writeFileAtomic } from "@tripod/base";
import { isOwnPlugin } from "@tripod/cni";
import { pluginBundle } from "./build-bundle.ts";
import { launcher } from "./launcher.ts";
import { ownPlugins } from "./plugins.ts";

export interface InstallOptions {
  /** Also replace executables of these names that are not Tripod's; false unless told. */
  readonly force?: boolean;
}

/** What an installation did. */
export interface Installed {
  /** The executables that now are Tripod's. */
  readonly installed: readonly string[];
  /** Foreign executables that were left alone. */
  readonly kept: readonly string[];
}

/** The folder of the programs behind the launchers, inside the folder of the executables. */
const programsDir = ".tripod-cni";

/** A program that nothing has started for so long is not in use by a plugin that is just starting. */
const oldAfterMs = 10 * 60 * 1000;

/**
 * Writes Tripod's plugins into `binDir` as executables that need no daemon: a launcher of a few lines each, and beside them one
 * program. Each appears whole or not at all, and a call that is under way is not disturbed: a new program gets a folder of its own.
 * A foreign executable of the same name stays unless `force`: the user put it there to be used.
 */
export async function installPlugins(binDir: string, options: InstallOptions = {}): Promise<Installed> {
  const dir = resolve(binDir);
  const bundle = await pluginBundle();
  const hash = createHash("sha256")
    .update(bundle.program)
    .update(bundle.native)
    .update(process.execPath)
    .digest("hex")
    .slice(0, 16);
  const program = join(dir, programsDir, hash);
  if (!existsSync(program)) {
    const temporary = join(dir, programsDir, `${randomHex(8)}.tmp`);
    await mkdir(temporary, { recursive: true, mode: 0o755 });
    await writeFileAtomic(join(temporary, "tripod-cni.cjs"), bundle.program);
    await writeFileAtomic(join(temporary, "koffi.node"), bundle.native);
    await rename(temporary, program).catch(async (error: unknown) => {
      await rm(temporary, { recursive: true, force: true });
      if (!existsSync(program)) throw error; // else another installation was quicker
    });
  }
  await mkdir(join(program, "compiled"), { recursive: true, mode: 0o755 });
  const installed: string[] = [];
  const kept: string[] = [];
  for (const name of ownPlugins.keys()) {
    const path = join(dir, name);
    if (options.force !== true && existsSync(path) && !isOwnPlugin(path)) {
      kept.push(path);
      continue;
    }
    await writeFileAtomic(path, launcher({ interpreter: process.execPath, name, program }), { mode: 0o755 });
    installed.push(path);
  }
  await removeOldPrograms(join(dir, programsDir), hash);
  return { installed, kept };
}

async function removeOldPrograms(dir: string, current: string): Promise<void> {
  for (const name of await readdir(dir)) {
    const { mtimeMs } = await stat(join(dir, name));
    if (name !== current && Date.now() - mtimeMs > oldAfterMs)
      await rm(join(dir, name), { recursive: true, force: true });
  }
}
