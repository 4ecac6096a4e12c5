import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { chmod, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { failpoint, isNodeError, TripodError, writeFileAtomic } from "@tripod/base";
import { type Digest, hexOf, isDigest } from "../digest.ts";
import type { LazyLayers } from "./lazy-layers.ts";
import type { LayerDraft, LayerFacts, LayerSnapshot } from "./snapshotter.ts";
import type { TemporaryFolders } from "./temporary-folders.ts";

/** Unpacked layers, a folder each: `HEX/fs` holds the files, `HEX/layer.json` says what they are. The same for every snapshotter. */
export class LayerStore {
  readonly #dir: string;
  readonly #temporary: TemporaryFolders;
  readonly #lazy: LazyLayers | undefined;

  /** `lazy`: layers that stand in for those that are not whole yet. */
  constructor(dir: string, temporary: TemporaryFolders, lazy?: LazyLayers) {
    this.#dir = dir;
    this.#temporary = temporary;
    this.#lazy = lazy;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  layer(chainId: Digest): LayerSnapshot | undefined {
    const home = join(this.#dir, hexOf(chainId));
    try {
      // Written by commit() below, whole or not at all.
      const facts = JSON.parse(readFileSync(join(home, "layer.json"), "utf8")) as LayerFacts;
      return { ...facts, parent: facts.parent ?? undefined, dir: join(home, "fs") };
    } catch (error) {
      if (isNodeError(error, "ENOENT") || error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  layers(): LayerSnapshot[] {
    return readdirSync(this.#dir).flatMap((name) => {
      const chainId = `sha256:${name}`;
      return isDigest(chainId) ? (this.layer(chainId) ?? []) : [];
    });
  }

  async draft(): Promise<LayerDraft> {
    const home = await this.#temporary.make();
    await chmod(home, 0o755);
    const dir = join(home, "fs");
    await mkdir(dir, { mode: 0o755 });
    return {
      dir,
      commit: (facts) => this.#commit(home, facts),
      [Symbol.asyncDispose]: () => rm(home, { recursive: true, force: true }),
    };
  }

  async #commit(home: string, facts: LayerFacts): Promise<void> {
    await writeFileAtomic(join(home, "layer.json"), JSON.stringify(facts));
    failpoint("oci.layer.described");
    const target = join(this.#dir, hexOf(facts.chainId));
    try {
      await rename(home, target);
    } catch (error) {
      if (!isNodeError(error, "ENOTEMPTY", "EEXIST")) throw error;
      if (this.layer(facts.chainId) === undefined) {
        // A folder without a readable description: damaged by a power cut. It makes way.
        const away = this.#temporary.takeAway(target);
        await rename(home, target);
        if (away !== undefined) await rm(away, { recursive: true, force: true });
      } else await rm(home, { recursive: true, force: true });
    }
    failpoint("oci.layer.renamed");
  }

  /** Takes layers out of their places at once; what is returned is to be removed. */
  takeAway(chainIds: readonly Digest[]): string[] {
    return chainIds.flatMap((chainId) => this.#temporary.takeAway(join(this.#dir, hexOf(chainId))) ?? []);
  }

  /** A layer whole, or as it is served. */
  usable(chainId: Digest): Pick<LayerSnapshot, "dir" | "opaqueRoot"> | undefined {
    const whole = this.layer(chainId);
    if (whole !== undefined) return whole;
    const [served, dir] = [this.#lazy?.layer(chainId), this.#lazy?.dirOf(chainId)];
    return served === undefined || dir === undefined ? undefined : { dir, opaqueRoot: served.opaqueRoot };
  }

  /** The folders of the layers, topmost first, down to the lowest that can be seen; one that is missing is an error. */
  lower(chainIds: readonly Digest[]): string[] {
    const lower: string[] = [];
    for (const chainId of chainIds.toReversed()) {
      const layer = this.usable(chainId);
      if (layer === undefined) {
        throw new TripodError(
          "failed-precondition",
          `mount root file system: layer ${chainId} is not unpacked; pull the image again`,
        );
      }
      lower.push(layer.dir);
      if (layer.opaqueRoot) break;
    }
    return lower;
  }
}
