import {
  chmodSync,
  closeSync,
  constants,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  type BigIntStats,
} from "node:fs";
import { isNodeError } from "@tripod/base";
import { copyContent, lutimesNs, mknod, type NodeSpec } from "@tripod/linux";
import type { Progress } from "./job.ts";

const join = (folder: string | Buffer, name: Buffer): Buffer =>
  Buffer.concat([typeof folder === "string" ? Buffer.from(folder) : folder, Buffer.from("/"), name]);

const kinds: ReadonlyMap<number, NodeSpec["kind"]> = new Map([
  [constants.S_IFIFO, "fifo"],
  [constants.S_IFCHR, "character"],
  [constants.S_IFBLK, "block"],
  [constants.S_IFSOCK, "socket"],
]);

/**
 * Makes the folder `target` with all that is in the folder `source`: owners, modes, times, links, holes. Blocks are shared where the server can. What
 * is written or moved meanwhile may be in the copy or not; symbolic links are copied, never followed, also those that appear meanwhile. Blocks.
 */
export function copyTree(source: string, target: string, onProgress: (progress: Progress) => void): void {
  mkdirSync(target, { mode: 0o700 });
  const copy = new TreeCopy(onProgress);
  copy.folder(source, target, lstatSync(`${source}/.`, { bigint: true }));
}

class TreeCopy {
  readonly #onProgress: (progress: Progress) => void;
  /** Of files with several names, where the first was copied to. */
  readonly #linked = new Map<string, Buffer>();
  #files = 0;
  #bytes = 0;

  constructor(onProgress: (progress: Progress) => void) {
    this.#onProgress = onProgress;
  }

  folder(source: string, target: string | Buffer, found: BigIntStats): void {
    for (const name of readdirSync(source, { encoding: "buffer" })) this.#entry(join(source, name), join(target, name));
    setAttributes(target, found);
  }

  #entry(source: Buffer, target: Buffer): void {
    try {
      this.#copy(source, target);
    } catch (error) {
      if (!isNodeError(error, "ENOENT", "ELOOP", "ENOTDIR") || lstatSync(source, { throwIfNoEntry: false }))
        throw error;
      return; // it was removed meanwhile
    }
    this.#files += 1;
    this.#onProgress({ files: this.#files, bytes: this.#bytes });
  }

  #copy(source: Buffer, target: Buffer): void {
    const found = lstatSync(source, { bigint: true });
    if (found.isDirectory()) {
      // By a descriptor, which stays this folder whatever takes its name.
      const fd = openSync(source, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      try {
        mkdirSync(target, { mode: 0o700 });
        this.folder(`/proc/self/fd/${fd}`, target, found);
      } finally {
        closeSync(fd);
      }
      return;
    }
    const key = `${found.dev}:${found.ino}`;
    const first = found.nlink > 1n ? this.#linked.get(key) : undefined;
    if (first !== undefined) return linkSync(first, target);
    if (found.isFile()) {
      copyContent(source, target);
      this.#bytes += Number(found.size);
    } else if (found.isSymbolicLink()) symlinkSync(readlinkSync(source, { encoding: "buffer" }), target);
    else makeNode(target, found);
    setAttributes(target, found);
    if (found.nlink > 1n) this.#linked.set(key, target);
  }
}

function setAttributes(target: string | Buffer, found: BigIntStats): void {
  lchownSync(target, Number(found.uid), Number(found.gid));
  if (!found.isSymbolicLink()) chmodSync(target, Number(found.mode) & 0o7777);
  lutimesNs(target, { accessedAtNs: found.atimeNs, modifiedAtNs: found.mtimeNs });
}

function makeNode(target: Buffer, { mode, rdev }: BigIntStats): void {
  const kind = kinds.get(Number(mode) & constants.S_IFMT);
  if (kind === undefined) return;
  const [major, minor] = [Number((rdev >> 8n) & 0xfffn), Number((rdev & 0xffn) | ((rdev >> 12n) & 0xfff00n))];
  mknod(target, { kind, mode: 0o600, major, minor });
}
