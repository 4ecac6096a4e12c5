import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isNodeError, randomHex } from "@tripod/base";
import { unmount } from "@tripod/linux";
import { type Digest, hexOf, isDigest } from "../digest.ts";
import { processToken, tokenAlive } from "./temporary-folders.ts";

/** How far a layer that is served has come. */
export interface LazyState {
  /** Its blob. */
  readonly blob: Digest;
  readonly sizeBytes: number;
  readonly doneBytes: number;
  /** Why it does not come, for now; undefined when it does. */
  readonly problem?: string;
}

/** A layer that can be used before it is whole, because a process serves it. */
export interface LazyLayer extends LazyState {
  readonly chainId: Digest;
  /** The process (see processToken). */
  readonly owner: string;
  /** Nothing of the layers below is to be seen. */
  readonly opaqueRoot: boolean;
}

/** A layer's place, of the process that serves it. */
export interface LazyPlace {
  /** Where its file system is to be mounted. */
  readonly mountPoint: string;
  update(state: LazyState): void;
  /** Takes the place away; nothing may be mounted in it. */
  remove(): void;
}

/** The folder in the served file system that is the layer: below a mount that is gone it is not there, so that nobody takes nothing for it. */
export const servedFolder = "fs";

/**
 * Layers that processes serve while their blobs still come in, a folder each: `HEX/layer.json` says whose it is, `HEX/mnt` is where it is
 * mounted. Such a process takes the folder away itself once the layer is whole, and ends when no root file system is made of it any more;
 * what one that died has left is swept.
 */
export class LazyLayers {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  /** Undefined when no living process says that it serves it. */
  layer(chainId: Digest): LazyLayer | undefined {
    const home = join(this.#dir, hexOf(chainId));
    try {
      const found = JSON.parse(readFileSync(join(home, "layer.json"), "utf8")) as LazyLayer; // written below
      return tokenAlive(found.owner) ? { ...found, chainId } : undefined;
    } catch (error) {
      if (isNodeError(error, "ENOENT", "ENOTDIR") || error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  layers(): LazyLayer[] {
    return readdirSync(this.#dir).flatMap((name) => {
      const chainId = `sha256:${name}`;
      return isDigest(chainId) ? (this.layer(chainId) ?? []) : [];
    });
  }

  /** The layer's own files, in overlayfs's terms; undefined when nobody serves it, or not yet, or not where this process could see it. */
  dirOf(chainId: Digest): string | undefined {
    if (this.layer(chainId) === undefined) return undefined;
    const dir = join(this.#dir, hexOf(chainId), "mnt", servedFolder);
    try {
      return statSync(dir, { throwIfNoEntry: false }) === undefined ? undefined : dir;
    } catch (error) {
      if (isNodeError(error, "ENOTCONN", "ECONNABORTED", "ENOTDIR")) return undefined;
      throw error;
    }
  }

  /** Makes the place of a layer that this process is going to serve; the caller has made sure that no other is at it. */
  claim(chainId: Digest, facts: LazyState & { readonly opaqueRoot: boolean }): LazyPlace {
    const home = join(this.#dir, hexOf(chainId));
    const owner = processToken();
    const { opaqueRoot } = facts;
    const write = (folder: string, state: LazyState): void => {
      const temporary = join(folder, `layer.json.${randomHex(4)}`);
      writeFileSync(temporary, JSON.stringify({ ...state, opaqueRoot, owner }));
      renameSync(temporary, join(folder, "layer.json"));
    };
    this.#clear(home);
    const draft = join(this.#dir, `.${owner}-${randomHex(4)}`);
    mkdirSync(join(draft, "mnt"), { recursive: true, mode: 0o755 });
    write(draft, facts);
    renameSync(draft, home);
    return {
      mountPoint: join(home, "mnt"),
      update(state) {
        try {
          write(home, state);
        } catch (error) {
          if (!isNodeError(error, "ENOENT")) throw error; // taken away
        }
      },
      remove: () => this.#clear(home),
    };
  }

  /** Takes the mounts of layers away that nobody may use from now on. Root file systems that are made of them keep them. */
  release(keep: (chainId: Digest) => boolean): void {
    for (const name of readdirSync(this.#dir)) {
      const chainId = `sha256:${name}`;
      if (!isDigest(chainId) || keep(chainId)) continue;
      while (unmount(join(this.#dir, name, "mnt"), { detach: true, noFollow: true }));
    }
  }

  /** Removes what processes that died have left. */
  sweep(): void {
    for (const name of readdirSync(this.#dir)) {
      const chainId = `sha256:${name}`;
      const alive = isDigest(chainId) ? this.layer(chainId) !== undefined : tokenAlive(name.slice(1));
      if (!alive) this.#clear(join(this.#dir, name));
    }
  }

  #clear(home: string): void {
    while (unmount(join(home, "mnt"), { detach: true, noFollow: true }));
    rmSync(home, { recursive: true, force: true });
  }
}
