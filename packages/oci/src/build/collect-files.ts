import { lstatSync, readdirSync, realpathSync } from "node:fs";
import { join, matchesGlob, posix } from "node:path";
import { TripodError } from "@tripod/base";
import { type CopySpec, imageSpecFile } from "./image-spec.ts";

/** A file of the context and where it goes. */
export interface LayerFile {
  readonly source: string;
  readonly mode: number | undefined;
  readonly uid: number;
  readonly gid: number;
}

/**
 * What of the folder `context` goes where in the image: path without leading slash to file, in the order of the copies (a later
 * one replaces). Symbolic links are copied as links, never followed out of the context.
 */
export function collectFiles(
  context: string,
  copies: readonly CopySpec[],
  ignore: readonly string[],
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
      if (!isRoot)
        files.set(target, { source, mode: stat.isDirectory() || stat.isSymbolicLink() ? undefined : mode, uid, gid });
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
