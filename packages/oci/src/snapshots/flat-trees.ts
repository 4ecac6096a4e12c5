import { mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { KeyedMutex } from "@tripod/base";
import { isBtrfs } from "@tripod/linux";
import { type Digest, hexOf } from "../digest.ts";
import type { DiskUsage } from "../image.ts";
import { removeHome } from "./remove-home.ts";
import type { TemporaryFolders } from "./temporary-folders.ts";
import { copyTree, type WholeTree, wholeTreeIn } from "./whole-tree.ts";

/** Stacks of layers merged to one tree each, by the chain id of the topmost: what snapshots are taken of, and views show. Made when needed. */
export class FlatTrees {
  readonly #dir: string;
  readonly #temporary: TemporaryFolders;
  readonly #making = new KeyedMutex();

  constructor(dir: string, temporary: TemporaryFolders) {
    this.#dir = dir;
    this.#temporary = temporary;
  }

  /** The tree of `lower`, the folders of the layers from `chainId` down; a subvolume on btrfs. Another process may make it too. */
  of(chainId: Digest, lower: readonly string[]): Promise<WholeTree> {
    return this.#making.run(chainId, async () => {
      const home = join(this.#dir, hexOf(chainId));
      const known = wholeTreeIn(home);
      if (known !== undefined) return known;
      mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
      const making = await this.#temporary.make();
      return await copyTree(home, { lower, making, subvolume: isBtrfs(dirname(making)), sync: true });
    });
  }

  /** Takes trees out of their places at once; what is returned is for removeHome(). */
  takeAway(chainIds: readonly Digest[]): string[] {
    return chainIds.flatMap((chainId) => this.#temporary.takeAway(join(this.#dir, hexOf(chainId))) ?? []);
  }

  /** Removes the trees of chains that `keep` does not want. */
  async sweep(keep: (chainId: Digest) => boolean): Promise<void> {
    for (const path of this.takeAway(this.#chains().filter((chainId) => !keep(chainId)))) await removeHome(path);
  }

  /** What they take beside the layers. */
  usage(): DiskUsage {
    const usage = { bytes: 0, inodes: 0 };
    for (const chainId of this.#chains()) {
      const { bytes, inodes } = wholeTreeIn(join(this.#dir, hexOf(chainId)))?.copied ?? { bytes: 0, inodes: 0 };
      usage.bytes += bytes;
      usage.inodes += inodes;
    }
    return usage;
  }

  #chains(): Digest[] {
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    return readdirSync(this.#dir).map((name): Digest => `sha256:${name}`);
  }
}
