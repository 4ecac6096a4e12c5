import type { Dirent, Stats } from "node:fs";
import { lstat, readdir, rm, writeFile } from "node:fs/promises";
import { isNodeError, runCommand, TripodError } from "@tripod/base";
import { lgetxattr } from "@tripod/linux";
import type { ByteString } from "../tar/tar-entry.ts";
import { bytesOf, toByteString } from "../unpack/entry-path.ts";
import type { Store } from "./store.ts";

/** What was written to a root file system, told apart from its image. */
export interface RootfsDiff {
  /** Paths, relative to the root, of what is new or changed; folders before what is in them. */
  readonly present: readonly ByteString[];
  /** Paths, relative to the root, of what the image has and the container has not. */
  readonly deleted: readonly ByteString[];
}

const tarTimeoutMs = 10 * 60_000;
const rootOf = (folder: string): ByteString => toByteString(folder);

async function entriesOf(folder: ByteString): Promise<Dirent<string>[]> {
  try {
    return await readdir(bytesOf(folder), { withFileTypes: true, encoding: "latin1" });
  } catch (error) {
    if (isNodeError(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

/** Character device 0:0 is overlayfs's mark for what is gone (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories"). */
async function isWhiteout(entry: Dirent<string>, path: ByteString): Promise<boolean> {
  return entry.isCharacterDevice() && (await lstat(bytesOf(path))).rdev === 0;
}

const isOpaque = (path: ByteString): boolean => lgetxattr(bytesOf(path), "trusted.overlay.opaque")?.toString() === "y";

/** The names that layers, topmost first, show in the folder `path`. */
async function namesBelow(layers: readonly ByteString[], path: ByteString): Promise<Set<string>> {
  const shown = new Set<string>();
  const hidden = new Set<string>();
  for (const layer of layers) {
    const folder = `${layer}/${path}`;
    for (const entry of await entriesOf(folder)) {
      if (shown.has(entry.name) || hidden.has(entry.name)) continue;
      ((await isWhiteout(entry, `${folder}/${entry.name}`)) ? hidden : shown).add(entry.name);
    }
    const stat = await lstat(bytesOf(folder)).catch(() => undefined);
    if (stat !== undefined && (!stat.isDirectory() || isOpaque(folder))) break;
  }
  return shown;
}

const statOf = (path: ByteString): Promise<Stats | undefined> => lstat(bytesOf(path)).catch(() => undefined);

interface Visit {
  readonly path: ByteString;
  /** The folders of what was written that show here, topmost first. */
  readonly above: readonly ByteString[];
  /** The image has this folder. */
  readonly inImage: boolean;
  /** And it shows through. */
  readonly shown: boolean;
}

/** The folders of an overlay that a path of theirs is merged from: down to the first in which it is no folder. */
async function mergedAt(
  folders: readonly ByteString[],
  path: ByteString,
): Promise<{ above: ByteString[]; through: boolean }> {
  const above: ByteString[] = [];
  for (const folder of folders) {
    const stat = await statOf(`${folder}/${path}`);
    if (stat === undefined) continue;
    if (!stat.isDirectory()) return { above, through: false };
    above.push(folder);
    if (isOpaque(`${folder}/${path}`)) return { above, through: false };
  }
  return { above, through: true };
}

/** Compares the folders of an overlay, topmost first, with the image's layers below them, topmost first. */
export async function diffOf(written: readonly string[], image: readonly string[]): Promise<RootfsDiff> {
  const layers = image.map(rootOf);
  const present: ByteString[] = [];
  const deleted: ByteString[] = [];
  const visit = async ({ path, above, inImage, shown }: Visit): Promise<void> => {
    const below = inImage ? await namesBelow(layers, path) : new Set<string>();
    const at = (name: string): ByteString => (path === "" ? name : `${path}/${name}`);
    const seen = new Set<string>();
    for (const folder of above) {
      for (const entry of await entriesOf(`${folder}/${path}`)) {
        if (seen.has(entry.name)) continue;
        seen.add(entry.name);
        const child = at(entry.name);
        if (await isWhiteout(entry, `${folder}/${child}`)) {
          if (below.has(entry.name)) deleted.push(child);
          continue;
        }
        present.push(child);
        if (!entry.isDirectory()) continue;
        const merged = await mergedAt(above, child);
        await visit({
          path: child,
          above: merged.above,
          inImage: below.has(entry.name),
          shown: shown && merged.through,
        });
      }
    }
    if (!shown) deleted.push(...[...below].filter((name) => !seen.has(name)).map(at));
  };
  const root = await mergedAt(written.map(rootOf), "");
  await visit({ path: "", above: root.above, inImage: true, shown: root.through });
  return { present, deleted };
}

/**
 * Writes what was written to a container's root file system to the tar `target`, without the places of what was deleted, which it returns
 * as paths from "/". "failed-precondition" where a snapshotter does not tell it apart from the image.
 */
export async function writeRootfsDiff(
  store: Store,
  containerId: string,
  target: string,
): Promise<{ readonly deleted: readonly string[] }> {
  const { records, snapshotter } = store;
  const rootfs = records.rootfs.get(containerId);
  const upper = snapshotter.writtenFolder(containerId);
  const what = `take what container ${containerId} wrote`;
  if (rootfs === undefined) throw new TripodError("not-found", `${what}: it has no root file system`);
  if (upper === undefined) {
    const why =
      "its root file system is a copy of the image, in which nothing is told apart; use the snapshotter overlay";
    throw new TripodError("failed-precondition", `${what}: ${why}`);
  }
  const dirs = rootfs.layers.toReversed().map((chainId) => snapshotter.layer(chainId)?.dir ?? "");
  const own = rootfs.restored === undefined ? 0 : 1;
  const { present, deleted } = await diffOf([upper, ...dirs.slice(0, own)], dirs.slice(own));
  const list = `${target}.list`;
  await writeFile(list, bytesOf(present.map((path) => `./${path}\0`).join("")));
  try {
    // Read through the mount, which shows files whole of which the upper folder may hold a part.
    await runCommand(
      "tar",
      // biome-ignore format: an option and its value on a line
      [
        "--create", "--file", target,
        "--directory", rootfs.target,
        "--null", "--verbatim-files-from", "--no-recursion", "--files-from", list,
        "--numeric-owner", "--sparse",
        "--xattrs", "--xattrs-include=user.*", "--xattrs-include=security.capability",
      ],
      { timeoutMs: tarTimeoutMs, okExitCodes: [0, 1] }, // 1: a file that changed while it was read
    );
  } finally {
    await rm(list, { force: true });
  }
  return { deleted: deleted.map((path) => `/${bytesOf(path).toString()}`) };
}
