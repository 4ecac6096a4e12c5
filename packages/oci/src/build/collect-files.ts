import { lstatSync, readdirSync, realpathSync, type Stats } from "node:fs";
import { join, matchesGlob, posix } from "node:path";
import { TripodError } from "@tripod/base";
import { type ImageSpec, imageSpecFile } from "./image-spec.ts";

/** A file of the context and where it goes. */
export interface LayerFile {
  readonly source: string;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/**
 * What of the folder `context` goes where in the image: path without leading slash to file, in the order of the copies (a later
 * one replaces). Symbolic links are copied as links, never followed out of the context.
 */
export function collectFiles(
  context: string,
  { copy: copies = [{ from: ".", to: "/" }], ignore = [], modes = "plain" }: ImageSpec,
): Map<string, LayerFile> {
  const files = new Map<string, LayerFile>();
  const root = realpathSync(context);
  const ignored = (path: string): boolean =>
    path === imageSpecFile || ignore.some((glob) => matchesGlob(path, glob) || matchesGlob(path, `${glob}/**`));
  for (const copy of copies) {
    const start = join(root, copy.from);
    const found = lstatSync(start, { throwIfNoEntry: false });
    if (found === undefined) throw new TripodError("not-found", `build image: ${copy.from} is not in ${context}`);
    const parent = realpathSync(found.isSymbolicLink() ? join(start, "..") : start);
    if (parent !== root && !parent.startsWith(`${root}/`)) {
      throw new TripodError("invalid", `build image: ${copy.from} leads out of ${context}`);
    }
    const add = (source: string, target: string, relative: string): void => {
      if (relative !== "" && ignored(relative)) return;
      const stat = lstatSync(source);
      const { mode, uid = 0, gid = 0 } = copy;
      if (stat.isSocket()) return; // meaningless in an image
      const isRoot = target === "";
      if (!isRoot) {
        const given = stat.isDirectory() || stat.isSymbolicLink() ? undefined : mode;
        files.set(target, {
          source,
          mode: given ?? (modes === "keep" ? stat.mode & 0o7777 : plainMode(stat)),
          uid,
          gid,
        });
      }
      if (!stat.isDirectory()) return;
      for (const name of readdirSync(source)) {
        add(join(source, name), isRoot ? name : `${target}/${name}`, relative === "" ? name : `${relative}/${name}`);
      }
    };
    const relative = posix.normalize(copy.from).replace(/^\.\/?|\/$/g, "");
    const to = posix.normalize(copy.to).replace(/^\/+/, "");
    const intoFolder = !found.isDirectory() && (to === "" || to.endsWith("/"));
    add(start, (intoFolder ? `${to}${posix.basename(copy.from)}` : to).replace(/\/$/, ""), relative);
  }
  return files;
}

/**
 * Permission bits that do not follow from the umask of whoever checked the files out: group and others may read and execute what the owner
 * may. What no umask makes (set-user-id and the like, folders such as /tmp) stays.
 */
function plainMode(stat: Stats): number {
  const special = stat.mode & 0o7000;
  if (stat.isDirectory() && (special & 0o1000) !== 0) return stat.mode & 0o7777;
  const owner = stat.mode & 0o700;
  const others = owner & 0o500;
  return special | owner | (others >> 3) | (others >> 6);
}
