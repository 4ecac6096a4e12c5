import { mkdirSync, readdirSync, statfsSync } from "node:fs";
import { mkdir, rm, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { failpoint, isNodeError, type Logger, messageOf, randomHex, TaskOwner, TripodError } from "@tripod/base";
import { canIdMap, cloneMount, isErrno, isMountPoint, MOUNT_ATTR, mountInfo, unmount } from "@tripod/linux";
import type { Digest } from "../digest.ts";
import type { DiskUsage } from "../image.ts";
import { diskUsage } from "./disk-usage.ts";
import { FlatTrees } from "./flat-trees.ts";
import { mountFuseOverlay } from "./fuse-overlay-mount.ts";
import { releaseMappedLayers, withMappedLayers } from "./id-mapped-layers.ts";
import { LayerStore } from "./layer-store.ts";
import { checkWritableLimit, prepareLimitedFolder, releaseLimitedFolder, unmountedDiskIn } from "./limited-folder.ts";
import { LazyLayers } from "./lazy-layers.ts";
import { mountOverlay, type OverlayMountOptions } from "./overlay-mount.ts";
import { removeHome } from "./remove-home.ts";
import type { SnapshotterKind } from "./snapshotter-kind.ts";
import type {
  IdMap,
  IdMapMethod,
  LayerDraft,
  LayerSnapshot,
  Snapshotter,
  WritableLimit,
  WritableOptions,
  WritableUsage,
} from "./snapshotter.ts";
import { groundOf, prepareUpper, upperIn } from "./stacked-writable.ts";
import { TemporaryFolders } from "./temporary-folders.ts";
import { writtenSince } from "./tree-marks.ts";
import { copyTree, snapshotTree, type WholeTree, wholeTreeIn } from "./whole-tree.ts";

const nothing: DiskUsage = { bytes: 0, inodes: 0 };

/**
 * Every snapshotter of Tripod. They keep layers alike, and differ in how layers become a root file system: *stacked*, an overlay with an upper
 * folder (overlay, fuse-overlayfs), or *whole*, a tree of its own that is mounted as it is (native: copied; btrfs: a snapshot). So a store
 * may be opened as another kind at any time: what a writable is, its folder says, and it stays that.
 *
 * Under its folder: `HEX/` a layer (layer-store.ts), `flat/HEX/` a stack of layers merged for snapshots and views, `tmp/` drafts and
 * rubbish, `lazy/HEX/` layers that are served before they are whole (lazy-layers.ts), `containers/KEY/` a writable: `upper`, `work` or `tree/`, in `limited/` when it is limited.
 */
export class LayeredSnapshotter implements Snapshotter, AsyncDisposable {
  readonly kind: SnapshotterKind;
  /** Layers that are served while they come in; only overlays are made of them. */
  readonly lazy: LazyLayers;
  readonly #dir: string;
  readonly #containers: string;
  readonly #temporary: TemporaryFolders;
  readonly #layers: LayerStore;
  readonly #flats: FlatTrees;
  readonly #removals: TaskOwner;
  readonly #log: Logger;
  #stackedMaps: Promise<boolean> | undefined;

  private constructor(dir: string, kind: SnapshotterKind, log: Logger) {
    this.kind = kind;
    this.#dir = dir;
    this.#log = log;
    this.#removals = new TaskOwner("snapshots", log);
    this.#containers = join(dir, "containers");
    this.#temporary = new TemporaryFolders(join(dir, "tmp"));
    this.lazy = new LazyLayers(join(dir, "lazy"));
    this.#layers = new LayerStore(dir, this.#temporary, kind === "overlay" ? this.lazy : undefined);
    this.#flats = new FlatTrees(join(dir, "flat"), this.#temporary);
    mkdirSync(this.#containers, { recursive: true, mode: 0o700 });
  }

  /** Opens or makes the folder `dir`. Whether the kind works there, snapshotterProblem() tells. */
  static async open(dir: string, log: Logger, kind: SnapshotterKind = "overlay"): Promise<LayeredSnapshotter> {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    return new LayeredSnapshotter(dir, kind, log);
  }

  /** Waits until what has been taken away is off the disk. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#removals.stop();
  }

  /** Removes what processes that died left behind. */
  async sweep(): Promise<void> {
    this.lazy.sweep();
    await this.#temporary.sweep(async (path) => {
      // A trial of something may have mounted it there.
      for (const { mountPoint } of mountInfo().toReversed()) {
        if (mountPoint.startsWith(`${path}/`)) unmount(mountPoint, { detach: true, noFollow: true });
      }
      // What a container has left in it must not keep a node from starting; it is tried again the next time.
      await removeHome(path).catch((error: unknown) =>
        this.#log.error({ path, error: messageOf(error) }, "what is left of a root file system cannot be removed"),
      );
    });
    await this.#flats.sweep((chainId) => this.layer(chainId) !== undefined);
  }

  layer(chainId: Digest): LayerSnapshot | undefined {
    return this.#layers.layer(chainId);
  }

  layers(): LayerSnapshot[] {
    return this.#layers.layers();
  }

  /** Whether root file systems can be made of the layer: it is whole, or served until it is. */
  usable(chainId: Digest): boolean {
    return this.#layers.usable(chainId) !== undefined;
  }

  draft(): Promise<LayerDraft> {
    return this.#layers.draft();
  }

  async removeLayers(chainIds: readonly Digest[]): Promise<void> {
    // All are out of their places before the first wait, so that a caller's transaction covers it.
    const flats = this.#flats.takeAway(chainIds);
    failpoint("oci.layers.flat-taken");
    const layers = this.#layers.takeAway(chainIds);
    for (const path of flats) await removeHome(path);
    for (const path of layers) await rm(path, { recursive: true, force: true });
  }

  layersUsage(): DiskUsage {
    const usage = { ...this.#flats.usage() };
    for (const { bytes, inodes } of this.layers()) {
      usage.bytes += bytes;
      usage.inodes += inodes;
    }
    return usage;
  }

  async idMapMethod(idMap: IdMap): Promise<IdMapMethod> {
    if (!canIdMap(this.#dir, idMap.userNamespace)) return "copy";
    if (this.kind !== "overlay") return "mount";
    this.#stackedMaps ??= this.#overlayTakesMappedLayers(idMap);
    return (await this.#stackedMaps) ? "mount" : "copy";
  }

  /** Before Linux 5.19 overlayfs refuses layers on id-mapped mounts. */
  async #overlayTakesMappedLayers(idMap: IdMap): Promise<boolean> {
    const home = await this.#temporary.make();
    try {
      const target = join(home, "target");
      await mkdir(target);
      await this.#stack(home, { lower: [await this.#empty("empty"), await this.#empty("below")], target, idMap });
      unmount(target, { detach: true });
      return true;
    } catch (error) {
      if (!isErrno(error, "EINVAL", "EPERM")) throw error;
      this.#log.info({ dir: this.#dir }, "overlayfs takes no id-mapped layers: they are copied for user namespaces");
      return false;
    } finally {
      await rm(home, { recursive: true });
    }
  }

  async mountWritable(key: string, options: WritableOptions & WritableLimit): Promise<void> {
    const { layers, target, idMap, maxSizeBytes } = options;
    const home = this.#home(key);
    if (maxSizeBytes !== undefined) checkWritableLimit(maxSizeBytes);
    if (!(await readyTarget(target))) return;
    const lower = await this.#lowerOf(layers);
    const shifts = idMap !== undefined && (await this.idMapMethod(idMap)) === "copy";
    const isWhole =
      treeIn(home) !== undefined || (upperIn(home) === undefined && (shifts || this.#makesTrees(maxSizeBytes)));
    await mkdir(home, { recursive: true, mode: 0o700 });
    if (maxSizeBytes !== undefined) {
      // A whole tree stands in the limited folder, so the room that it takes comes on top.
      const holding = isWhole ? this.#sumOf(layers) : undefined;
      await prepareLimitedFolder(home, { maxSizeBytes, ...(holding !== undefined && { holding }) });
    }
    if (isWhole) {
      const tree = treeIn(home) ?? (await this.#makeTree(home, { ...options, lower, shifts }));
      failpoint("oci.writable.made");
      showTree(tree, target, { idMap });
    } else {
      const writable = await prepareUpper(home, { below: lower[0] ?? this.#dir, idMap });
      failpoint("oci.writable.made");
      const limited = { ...writable, writeThrough: maxSizeBytes !== undefined };
      await this.#stackLayers(home, layers, { writable: limited, target, idMap });
    }
    failpoint("oci.writable.mounted");
  }

  /** A limited one on btrfs is an overlay: in a tree that is a subvolume, containers could make others that nothing limits. */
  #makesTrees(maxSizeBytes: number | undefined): boolean {
    return this.kind === "native" || (this.kind === "btrfs" && maxSizeBytes === undefined);
  }

  async #makeTree(
    home: string,
    { layers, lower, shifts, idMap }: WritableOptions & { readonly lower: readonly string[]; readonly shifts: boolean },
  ): Promise<WholeTree> {
    const ground = groundOf(home);
    const [at, making] = [join(ground, "tree"), join(ground, "making")];
    const top = layers.at(-1);
    if (this.kind === "btrfs" && ground === home && !shifts && top !== undefined) {
      return await snapshotTree(at, await this.#flats.of(top, lower), making);
    }
    return await copyTree(at, { making, lower, owners: shifts ? idMap : undefined });
  }

  async mountView(key: string, { layers, target, idMap }: WritableOptions): Promise<void> {
    const home = this.#home(key);
    if (!(await readyTarget(target))) return;
    const lower = await this.#lowerOf(layers);
    const top = layers.at(-1);
    const attributes = MOUNT_ATTR.RDONLY | MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV;
    if (idMap !== undefined && (await this.idMapMethod(idMap)) === "copy") {
      await mkdir(home, { recursive: true, mode: 0o700 });
      const at = join(home, `view-${randomHex(6)}`); // goes with its home
      const tree = await copyTree(at, { making: await this.#temporary.make(), lower, owners: idMap });
      showTree(tree, target, { idMap, attributes });
    } else if (top !== undefined && (this.kind === "native" || this.kind === "btrfs")) {
      showTree(await this.#flats.of(top, lower), target, { idMap, attributes });
    } else {
      await this.#stackLayers(home, layers, { target, idMap });
    }
    failpoint("oci.view.mounted");
  }

  async #stackLayers(
    home: string,
    layers: readonly Digest[],
    options: Omit<OverlayMountOptions, "lower"> & { readonly idMap: IdMap | undefined },
  ): Promise<void> {
    for (let before: readonly string[] = []; ; ) {
      const lower = await this.#lowerOf(layers);
      // Without an upper folder overlayfs insists on two layers.
      if (options.writable === undefined && lower.length === 1) lower.push(await this.#empty("below"));
      try {
        return await this.#stack(home, { ...options, lower });
      } catch (error) {
        // A layer that was served may have become whole meanwhile: then it is in another place.
        if (!isErrno(error, "ENOENT", "ENOTCONN") || isDeepStrictEqual(lower, before)) throw error;
        before = lower;
      }
    }
  }

  async #stack(
    home: string,
    { lower, idMap, ...options }: OverlayMountOptions & { readonly idMap: IdMap | undefined },
  ): Promise<void> {
    const mountOf = (shown: readonly string[]): void | Promise<void> =>
      this.kind === "fuse-overlayfs"
        ? mountFuseOverlay({ ...options, lower: shown }, this.#dir)
        : mountOverlay({ ...options, lower: shown });
    if (idMap === undefined) return await mountOf(lower);
    await withMappedLayers(home, { dir: this.#dir, lower, userNamespace: idMap.userNamespace }, mountOf);
  }

  async #lowerOf(layers: readonly Digest[]): Promise<string[]> {
    const lower = this.#layers.lower(layers);
    return lower.length > 0 ? lower : [await this.#empty("empty")];
  }

  #sumOf(layers: readonly Digest[]): DiskUsage {
    const all = layers.map((chainId) => this.layer(chainId) ?? nothing);
    return {
      bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
      inodes: all.reduce((sum, { inodes }) => sum + inodes, 0),
    };
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
    releaseMappedLayers(home);
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

  async writableUsage(key: string): Promise<WritableUsage> {
    const home = this.#home(key);
    const disk = unmountedDiskIn(home);
    if (disk !== undefined) return { bytes: (await stat(disk)).blocks * 512, inodes: 1, copied: nothing };
    const tree = treeIn(home);
    if (tree !== undefined) return { ...(await writtenSince(tree.marks, tree.root)), copied: tree.copied };
    const upper = upperIn(home);
    if (upper !== undefined) return { ...(await diskUsage(upper)), copied: nothing };
    throw new TripodError("not-found", `usage of root file system ${key}: there is none`);
  }

  writtenFolder(key: string): string | undefined {
    return upperIn(this.#home(key));
  }

  limitedPlace(key: string): string | undefined {
    const home = this.#home(key);
    return groundOf(home) === home ? undefined : join(groundOf(home), "beside");
  }

  #home(key: string): string {
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,200}$/.test(key)) {
      throw new TripodError("invalid", `root file system ${JSON.stringify(key)}: not a usable id`);
    }
    return join(this.#containers, key);
  }
}

const treeIn = (home: string): WholeTree | undefined => wholeTreeIn(join(groundOf(home), "tree"));

/** Makes the folder `target`; false when something is mounted there. What is mounted there and dead, for its process died, goes. */
async function readyTarget(target: string): Promise<boolean> {
  try {
    if (isMountPoint(target)) {
      statfsSync(target); // the kernel may answer the question above from memory, this only the file system
      return false;
    }
  } catch (error) {
    if (!isErrno(error, "ENOTCONN", "ECONNABORTED") && !isNodeError(error, "ENOTCONN", "ECONNABORTED")) throw error;
    while (unmount(target, { detach: true, noFollow: true }));
  }
  await mkdir(target, { recursive: true });
  return true;
}

/** Shows a tree at `target`, with the owners of the user namespace when it does not have them already. */
function showTree(
  { root, shifted }: WholeTree,
  target: string,
  { idMap, attributes = 0 }: { readonly idMap: IdMap | undefined; readonly attributes?: number },
): void {
  const maps = idMap !== undefined && !shifted;
  cloneMount(root, target, { attributes, ...(maps && { userNamespace: idMap.userNamespace }) });
}
