import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

export interface WriteFileOptions {
  /** Permission bits of the new file; 0o644 unless told. */
  readonly mode?: number;
}

const temporaryName = (path: string): string => `${path}.${randomBytes(6).toString("hex")}.tmp`;

/** Replaces `path` whole or not at all, and on the disk when it returns: write, fsync, rename, fsync of the folder. */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  options: WriteFileOptions = {},
): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await using file = await open(temporary, "wx", options.mode ?? 0o644);
    await file.writeFile(data);
    await file.sync();
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await using folder = await open(dirname(path), "r");
  await folder.sync();
}

/** As writeFileAtomic, in one synchronous step; for small files only. */
export function writeFileAtomicSync(path: string, data: string | Uint8Array, options: WriteFileOptions = {}): void {
  const temporary = temporaryName(path);
  try {
    const file = openSync(temporary, "wx", options.mode ?? 0o644);
    try {
      const bytes = typeof data === "string" ? Buffer.from(data) : data;
      for (let offset = 0; offset < bytes.byteLength; ) offset += writeSync(file, bytes, offset);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  const folder = openSync(dirname(path), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
