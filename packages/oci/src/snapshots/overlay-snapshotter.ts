import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync } from "node:fs";
import { chmod, chown, mkdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { failpoint, isNodeError, type Logger, TaskOwner, TripodError, writeFileAtomic } from "@tripod/base";
import { cloneMount, type IdMapping, isMountPoint, MOUNT_ATTR, unmount } from "@tripod/linux";
import { type Digest, hexOf, isDigest } from "../digest.ts";
import type { DiskUsage } from "../image.ts";
import { diskUsage } from "./disk-usage.ts";
import {
  checkWritableLimit,
  limitedFolderIn,
  prepareLimitedFolder,
  releaseLimitedFolder,
  removeHome,
  unmountedDiskIn,
} from "./limited-folder.ts";
import { mountOverlay } from "./overlay-mount.ts";
import type {
  IdMap,
  LayerDraft,
  LayerFacts,
  LayerSnapshot,
  Snapshotter,
  WritableLimit,
  WritableOptions,
} from "./snapshotter.ts";
import { TemporaryFolders } from "./temporary-folders.ts";

/**
 * Layers as overlayfs lower folders. Under its folder: `HEX/fs` and `HEX/layer.json` a layer, `containers/KEY/{upper,work}` a
 * writable (in `containers/KEY/limited/` when it is limited), `tmp/` drafts and rubbish.
 */
export class OverlaySnapshotter implements Snapshotter, AsyncDisposable {
  readonly #dir: string;
  readonly #containers: string;
  readonly #temporary: TemporaryFolders;
  readonly #removals: TaskOwner;

  private constructor(dir: string, log: Logger) {
    this.#dir = dir;
    this.#removals = new TaskOwner("snapshots", log);
    this.#containers = join(dir, "containers");
    this.#temporary = new TemporaryFolders(join(dir, "tmp"));
    mkdirSync(this.#containers, { recursive: true, mode: 0o700 });
  }

  /** Opens or makes the folder `dir` (on a file system that overlayfs takes as upper: ext4, xfs, btrfs, tmpfs). */
  static async open(dir: string, log: Logger): Promise<OverlaySnapshotter> {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    return new OverlaySnapshotter(dir, log);
  }

  /** Waits until what has been taken away is off the disk. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#removals.stop();
  }

  /** Removes what processes that died left behind. */
  sweep(): Promise<void> {
    return this.#temporary.sweep(removeHome);
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

  async removeLayers(chainIds: readonly Digest[]): Promise<void> {
    // All are out of their places before the first wait, so that a caller's transaction covers it.
    const away = chainIds.flatMap((chainId) => this.#temporary.takeAway(join(this.#dir, hexOf(chainId))) ?? []);
    for (const path of away) await rm(path, { recursive: true, force: true });
  }

  async mountWritable(key: string, options: WritableOptions & WritableLimit): Promise<void> {
    const { layers, target, idMap, maxSizeBytes } = options;
    const home = this.#home(key);
    if (maxSizeBytes !== undefined) checkWritableLimit(maxSizeBytes);
    await mkdir(target, { recursive: true });
    if (isMountPoint(target)) return;
    const lower = await this.#lowerOf(layers);
    const root = await stat(lower[0] ?? this.#dir);
    const top = { mode: root.mode, uid: hostIdOf(root.uid, idMap?.uids), gid: hostIdOf(root.gid, idMap?.gids) };
    if (maxSizeBytes !== undefined) {
      await mkdir(home, { recursive: true, mode: 0o700 });
      await prepareLimitedFolder(home, maxSizeBytes);
    }
    const ground = groundOf(home);
    const upper = join(ground, "upper");
    const work = join(ground, "work");
    await mkdir(work, { recursive: true, mode: 0o700 });
    if (statSync(upper, { throwIfNoEntry: false }) === undefined) {
      // The merged root shows the upper folder's attributes; they must be the image's. Renamed when they are.
      const making = join(ground, "making");
      await mkdir(making, { recursive: true });
      await chown(making, top.uid, top.gid);
      await chmod(making, top.mode & 0o7777);
      await rename(making, upper);
    }
    failpoint("oci.writable.made");
    this.#mountMapped(home, lower, idMap, (shown) => mountOverlay({ lower: shown, writable: { upper, work }, target }));
    failpoint("oci.writable.mounted");
  }

  async mountView(key: string, { layers, target, idMap }: WritableOptions): Promise<void> {
    const home = this.#home(key);
    await mkdir(target, { recursive: true });
    if (isMountPoint(target)) return;
    const lower = await this.#lowerOf(layers);
    // Without an upper folder overlayfs insists on two layers.
    if (lower.length === 1) lower.push(await this.#empty("below"));
    this.#mountMapped(home, lower, idMap, (shown) => mountOverlay({ lower: shown, target }));
    failpoint("oci.view.mounted");
  }

  /**
   * Runs `mountOf` with the layers as the user namespace sees them: below an id-mapped, read-only clone of the folder of all layers. The
   * clone stands only as long as this takes, for overlayfs makes clones of its own; an overlay itself cannot be id-mapped.
   */
  #mountMapped(
    home: string,
    lower: readonly string[],
    idMap: IdMap | undefined,
    mountOf: (lower: readonly string[]) => void,
  ): void {
    if (idMap === undefined) return mountOf(lower);
    const shown = join(home, "mapped");
    mkdirSync(shown, { recursive: true, mode: 0o700 });
    cloneMount(this.#dir, shown, { attributes: MOUNT_ATTR.RDONLY, userNamespace: idMap.userNamespace });
    failpoint("oci.layers.mapped");
    try {
      mountOf(lower.map((dir) => join(shown, relative(this.#dir, dir))));
    } finally {
      while (unmount(shown, { detach: true, noFollow: true })); // one more when a crash has left its own
      rmdirSync(shown);
    }
  }

  async #lowerOf(layers: readonly Digest[]): Promise<string[]> {
    const lower: string[] = [];
    for (const chainId of layers.toReversed()) {
      const layer = this.layer(chainId);
      if (layer === undefined) {
        throw new TripodError(
          "failed-precondition",
          `mount root file system: layer ${chainId} is not unpacked; pull the image again`,
        );
      }
      lower.push(layer.dir);
      if (layer.opaqueRoot) break;
    }
    if (lower.length === 0) lower.push(await this.#empty("empty"));
    return lower;
  }

  async #empty(name: string): Promise<string> {
    const empty = join(this.#dir, name);
    await mkdir(empty, { recursive: true, mode: 0o755 });
    return empty;
  }

  async removeWritable(key: string, { target }: { readonly target: string }): Promise<void> {
    const home = this.#home(key);
    // A mount may cover another when two processes raced to make it.
    while (unmount(target, { detach: true, noFollow: true }));
    while (unmount(join(home, "mapped"), { detach: true, noFollow: true }));
    await releaseLimitedFolder(home);
    failpoint("oci.writable.unmounted");
    await rmdir(target).catch((error: unknown) => {
      if (!isNodeError(error, "ENOENT", "ENOTEMPTY")) throw error;
    });
    const away = this.#temporary.takeAway(home);
    failpoint("oci.writable.taken-away");
    // What a container has written may be many files; nobody has to wait for them. After a crash, sweep() finds them.
    if (away !== undefined) this.#removals.run("free a root file system's space", () => removeHome(away));
  }

  writables(): string[] {
    return readdirSync(this.#containers);
  }

  async writableUsage(key: string): Promise<DiskUsage> {
    const home = this.#home(key);
    const disk = unmountedDiskIn(home);
    if (disk !== undefined) return { bytes: (await stat(disk)).blocks * 512, inodes: 1 };
    const upper = join(groundOf(home), "upper");
    if (statSync(upper, { throwIfNoEntry: false }) === undefined) {
      throw new TripodError("not-found", `usage of root file system ${key}: there is none`);
    }
    return diskUsage(upper);
  }

  #home(key: string): string {
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,200}$/.test(key)) {
      throw new TripodError("invalid", `root file system ${JSON.stringify(key)}: not a usable id`);
    }
    return join(this.#containers, key);
  }
}

/** Where a writable's upper and work folders are. */
const groundOf = (home: string): string => (existsSync(limitedFolderIn(home)) ? limitedFolderIn(home) : home);

/** The id outside of the user namespace; one that the namespace has no place for becomes its root's. */
function hostIdOf(id: number, map: IdMapping | undefined): number {
  if (map === undefined) return id;
  const offset = id - map.containerId;
  return offset >= 0 && offset < map.length ? map.hostId + offset : map.hostId;
}
