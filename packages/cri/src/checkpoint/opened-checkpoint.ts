import { lstatSync, readdirSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isNodeError, messageOf, TripodError } from "@tripod/base";
import type { RestoredFiles } from "@tripod/oci";
import { checkpointFolderOf, type CriContext } from "../context.ts";
import { archiveNames } from "./dump-files.ts";
import type { RestoreSource } from "./restore-source.ts";

const maxDumpBytes = 8 * 1024 * 1024;
const maxDeletedBytes = 64 * 1024 * 1024;

/** A field of a document; undefined of what is no object. */
const at = (document: unknown, key: string): unknown =>
  typeof document === "object" && document !== null ? Reflect.get(document, key) : undefined;
const textAt = (document: unknown, key: string): string => {
  const value = at(document, key);
  return typeof value === "string" ? value : "";
};

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((each) => typeof each === "string");

/** A checkpoint whose files are in a folder of the container's own, looked at as far as it is used. */
export interface OpenedCheckpoint {
  readonly containerName: string;
  /** What its image may be called here, the most exact first. */
  readonly imageNames: readonly string[];
  readonly checkpointedAt: string;
  /** Where something of the host was mounted into the container. */
  readonly binds: readonly string[];
  readonly files: RestoredFiles;
  /** The container's log until then. */
  readonly log: string | undefined;
}

/** The folder that holds the processes. */
export const imagesDirOf = (context: CriContext, id: string): string =>
  join(checkpointFolderOf(context, id), archiveNames.images);

const refuse = (why: string, cause?: unknown): TripodError =>
  new TripodError("invalid", `restore: this is no container's checkpoint: ${why}`, { cause });

/** A file of the checkpoint; undefined when it is not there. What is no plain file is refused: a link would lead out. */
function plainFile(folder: string, name: string, maxBytes = Number.POSITIVE_INFINITY): string | undefined {
  const path = join(folder, name);
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (!stat.isFile()) throw refuse(`${name} is no plain file`);
  if (stat.size > maxBytes) throw refuse(`${name} has ${stat.size} bytes, more than ${maxBytes}`);
  return path;
}

async function documentOf(folder: string, name: string, maxBytes = maxDumpBytes): Promise<unknown> {
  const path = plainFile(folder, name, maxBytes);
  if (path === undefined) return undefined;
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw refuse(`${name}: ${messageOf(cause)}`, cause);
  }
}

/** Brings the checkpoint's files into the container's folder, and reads what they say; whoever asks removes the folder. */
export async function openCheckpoint(
  context: CriContext,
  source: RestoreSource,
  containerId: string,
): Promise<OpenedCheckpoint> {
  const folder = checkpointFolderOf(context, containerId);
  await mkdir(dirname(folder), { recursive: true, mode: 0o700 });
  await mkdir(folder, { mode: 0o700 });
  if (source.kind === "archive") {
    const stat = lstatSync(source.path, { throwIfNoEntry: false });
    if (stat === undefined) throw new TripodError("not-found", `restore: there is no archive ${source.path}`);
    if (!stat.isFile()) throw refuse(`${source.path} is no plain file`);
    await context.images.unpackArchive(source.path, folder);
  } else {
    await context.images.copyRootfs(source.image.id, folder);
  }
  return await readCheckpoint(folder);
}

async function readCheckpoint(folder: string): Promise<OpenedCheckpoint> {
  const { images, config: configName, spec: specName, rootfsDiff, deletedFiles, log } = archiveNames;
  const config = await documentOf(folder, configName);
  const spec = await documentOf(folder, specName);
  const deleted = (await documentOf(folder, deletedFiles, maxDeletedBytes)) ?? [];
  const mounts = at(spec, "mounts") ?? [];
  if (config === undefined || spec === undefined) throw refuse(`it has no ${configName} and ${specName}`);
  if (!Array.isArray(mounts)) throw refuse(`${specName}: its mounts are no list`);
  if (!isTexts(deleted)) throw refuse(`${deletedFiles} is no list of paths`);
  let names: string[] = [];
  try {
    if (!lstatSync(join(folder, images)).isDirectory()) throw refuse(`${images} is no folder`);
    names = readdirSync(join(folder, images));
  } catch (error) {
    if (!isNodeError(error, "ENOENT")) throw error;
  }
  if (names.length === 0) throw refuse(`it has no files in ${images}/`);
  for (const name of names) plainFile(join(folder, images), name);
  const called = ["rootfsImageRef", "rootfsImage", "rootfsImageName"].map((key) => textAt(config, key));
  return {
    containerName: textAt(config, "name"),
    imageNames: [...new Set(called.filter((name) => name !== ""))],
    checkpointedAt: textAt(config, "checkpointedTime"),
    binds: mounts.filter((mount) => textAt(mount, "type") === "bind").map((mount) => textAt(mount, "destination")),
    files: { diff: plainFile(folder, rootfsDiff), deleted, workDir: folder },
    log: plainFile(folder, log),
  };
}

/** Takes away what openCheckpoint() made; absent is no error. */
export const removeOpenedCheckpoint = (context: CriContext, containerId: string): Promise<void> =>
  rm(checkpointFolderOf(context, containerId), { recursive: true, force: true });
