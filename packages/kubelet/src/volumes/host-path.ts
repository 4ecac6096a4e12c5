import { mkdir, open, stat } from "node:fs/promises";
import type { Stats } from "node:fs";
import type { HostPathVolumeSource } from "@tripod/api/kubernetes";
import { isNodeError, TripodError } from "@tripod/base";

async function statOrNothing(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return undefined;
    throw error;
  }
}

const kinds: Readonly<Record<string, readonly [is: (found: Stats) => boolean, noun: string]>> = {
  Directory: [(found) => found.isDirectory(), "a directory"],
  DirectoryOrCreate: [(found) => found.isDirectory(), "a directory"],
  File: [(found) => found.isFile(), "a file"],
  FileOrCreate: [(found) => found.isFile(), "a file"],
  Socket: [(found) => found.isSocket(), "a socket file"],
  CharDevice: [(found) => found.isCharacterDevice(), "a character device"],
  BlockDevice: [(found) => found.isBlockDevice(), "a block device"],
};

/** Checks, and for the …OrCreate types makes, what a hostPath volume points at. Returns the path. */
export async function prepareHostPath({ path, type = "" }: HostPathVolumeSource): Promise<string> {
  if (!path.startsWith("/") || path.split("/").includes("..")) {
    throw new TripodError("invalid", `hostPath ${path}: must be absolute and without ..`);
  }
  if (type === "") return path;
  const kind = kinds[type];
  if (kind === undefined) throw new TripodError("invalid", `hostPath ${path}: unknown type ${type}`);
  let found = await statOrNothing(path);
  if (found === undefined && type === "DirectoryOrCreate") await mkdir(path, { recursive: true, mode: 0o755 });
  if (found === undefined && type === "FileOrCreate") await (await open(path, "a", 0o644)).close();
  found ??= await statOrNothing(path);
  if (found === undefined || !kind[0](found)) {
    throw new TripodError("failed-precondition", `hostPath type check failed: ${path} is not ${kind[1]}`);
  }
  return path;
}
