import { randomBytes } from "node:crypto";
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { failpoint, isNodeError } from "@tripod/base";
import { checkPayloadPath, type Payload } from "./payload.ts";

const dataLink = "..data";

export interface AtomicFilesOptions {
  /** Group that may read the files; the folder's own group unless told. */
  readonly fsGroup?: number;
}

/** What is readable by the owner becomes readable by the group, when there is one. */
const modeFor = (mode: number, fsGroup: number | undefined): number =>
  fsGroup === undefined ? mode : mode | ((mode & 0o400) >> 3) | ((mode & 0o100) >> 3);

async function currentFolder(dir: string): Promise<string | undefined> {
  try {
    return await readlink(join(dir, dataLink));
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function listFiles(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1));
}

/** Whether the folder holds exactly the payload. */
async function isCurrent(folder: string, payload: Payload, options: AtomicFilesOptions): Promise<boolean> {
  try {
    const files = await listFiles(folder);
    if (files.length !== payload.size) return false;
    for (const [path, file] of payload) {
      const found = await stat(join(folder, path));
      if ((found.mode & 0o777) !== modeFor(file.mode, options.fsGroup) || found.uid !== (file.uid ?? 0)) return false;
      if (!(await readFile(join(folder, path))).equals(file.data)) return false;
    }
    return true;
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return false; // cut short by a crash: write it again
    throw error;
  }
}

async function writeFolder(folder: string, payload: Payload, { fsGroup }: AtomicFilesOptions): Promise<void> {
  const group = fsGroup ?? 0;
  const adopt = async (path: string): Promise<void> => {
    await chown(path, 0, group);
    await chmod(path, fsGroup === undefined ? 0o755 : 0o2755);
  };
  await mkdir(folder);
  await adopt(folder);
  for (const [path, file] of payload) {
    for (let parent = dirname(path), missing: string[] = []; ; parent = dirname(parent)) {
      if (parent === ".") {
        for (const each of missing.reverse()) {
          await mkdir(join(folder, each), { recursive: true });
          await adopt(join(folder, each));
        }
        break;
      }
      missing = [...missing, parent];
    }
    const target = join(folder, path);
    await writeFile(target, file.data, { flag: "wx", mode: 0o600 });
    await chown(target, file.uid ?? 0, group);
    await chmod(target, modeFor(file.mode, fsGroup));
  }
}

/** Makes the names at the volume's root point through ..data, and takes away those that the payload has no more. */
async function linkNames(dir: string, payload: Payload): Promise<void> {
  const wanted = new Set([...payload.keys()].map((path) => path.split("/")[0] ?? path));
  const found = (await readdir(dir)).filter((name) => !name.startsWith(".."));
  for (const name of wanted) {
    if (!found.includes(name)) await symlink(join(dataLink, name), join(dir, name));
  }
  for (const name of found) {
    if (!wanted.has(name)) await rm(join(dir, name), { force: true });
  }
}

/**
 * Writes a volume's files so that a reader sees all of the old or all of the new: a fresh folder, then one rename of the `..data` link
 * that every visible name points through. Returns whether anything changed. What a crash left over is cleaned up by the next call.
 */
export async function writeAtomicFiles(
  dir: string,
  payload: Payload,
  options: AtomicFilesOptions = {},
): Promise<boolean> {
  for (const path of payload.keys()) checkPayloadPath(path);
  const current = await currentFolder(dir);
  const unchanged = current !== undefined && (await isCurrent(join(dir, current), payload, options));
  let kept = current;
  if (!unchanged) {
    const stamp = new Date().toISOString().slice(0, 19).replace(/[-T:]/g, "_");
    kept = `..${stamp}.${randomBytes(5).toString("hex")}`;
    await writeFolder(join(dir, kept), payload, options);
    failpoint("kubelet.volume.payload-written");
    await rm(join(dir, "..data_tmp"), { force: true });
    await symlink(kept, join(dir, "..data_tmp"));
    await rename(join(dir, "..data_tmp"), join(dir, dataLink));
  }
  await linkNames(dir, payload);
  for (const name of await readdir(dir)) {
    if (name === kept || name === dataLink || !name.startsWith("..")) continue;
    if ((await lstat(join(dir, name))).isDirectory()) await rm(join(dir, name), { recursive: true, force: true });
  }
  return !unchanged;
}
