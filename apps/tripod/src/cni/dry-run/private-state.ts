import { type Dirent, existsSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { TripodError } from "@tripod/base";
import { isJsonObject, type JsonValue } from "@tripod/cni";
import { mount } from "@tripod/linux";
import type { NetworkChange } from "./network-facts.ts";

/** Where plugins and runtime keep records unless told. */
const usual = ["/var/lib/cni", "/run/cni"];

/** Every `dataDir` in a configuration. */
export function dataDirsIn(value: JsonValue): readonly string[] {
  if (Array.isArray(value)) return value.flatMap((item: JsonValue) => dataDirsIn(item));
  if (!isJsonObject(value)) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    key.toLowerCase() === "datadir" && typeof item === "string" && item.startsWith("/") ? [item] : dataDirsIn(item),
  );
}

/** The folder, or the nearest one above that there is. */
const nearest = (dir: string): string => (existsSync(dir) ? dir : nearest(dirname(dir)));

/** A folder over which an empty layer was laid. */
export interface PrivateFolder {
  readonly path: string;
  /** Where what was written to it is. */
  readonly layer: string;
}

/**
 * Lays an empty layer over each of the folders: what is written there from now on, in this mount namespace, goes into `scratch` (a file system
 * in memory) and nowhere else.
 */
export function keepStatePrivate(folders: readonly string[], scratch: string): readonly PrivateFolder[] {
  const wanted = [...new Set([...usual, ...folders].map(nearest))];
  const outer = wanted.filter((dir) => !wanted.some((other) => other !== dir && dir.startsWith(`${other}/`)));
  return outer.map((path, number) => {
    if (path === "/" || scratch.startsWith(`${path}/`))
      throw new TripodError(
        "failed-precondition",
        `dry run: a folder for records would be made in ${path}; make it first`,
      );
    const layer = join(scratch, `layer${number}`);
    const work = join(scratch, `work${number}`);
    for (const made of [layer, work]) mkdirSync(made);
    mount({
      source: "overlay",
      target: path,
      type: "overlay",
      data: `lowerdir=${escaped(path)},upperdir=${layer},workdir=${work}`,
    });
    return { path, layer };
  });
}

/** Files that came or changed (+), and that went (-), but for those by which programs keep out of one another's way. */
export function changedFiles({ path, layer }: PrivateFolder): NetworkChange {
  const entries = readdirSync(layer, { recursive: true, withFileTypes: true }).filter(
    ({ name, parentPath }) => name !== "lock" && !/\/(\.tripod-|trusted\.)/.test(`${parentPath}/${name}/`),
  );
  const named = (wanted: (entry: Dirent) => boolean): readonly string[] =>
    entries
      .filter(wanted)
      .map(({ parentPath, name }) => join(path, parentPath.slice(layer.length), name))
      .toSorted();
  // A device 0:0 says that a file of below has gone (overlayfs, "whiteouts").
  return { added: named((entry) => entry.isFile()), removed: named((entry) => entry.isCharacterDevice()) };
}

const escaped = (path: string): string => path.replaceAll(/[\\:,]/g, (character) => `\\${character}`);
