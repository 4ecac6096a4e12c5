import { mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { failpoint, KeyedMutex, type Layout, type Logger, messageOf, randomHex, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import { exportArchive, type ExportOptions } from "./archive/export-archive.ts";
import { importArchive, type ImportOptions } from "./archive/import-archive.ts";
import { convertImage, type ConvertOptions } from "./build/convert-image.ts";
import { buildImage, type BuildOptions } from "./build/build-image.ts";
import type { Digest } from "./digest.ts";
import type { DiskUsage, Image, PullOptions, Rootfs } from "./image.ts";
import { ensureArtifactLayer, layersOf } from "./images/artifact-layer.ts";
import { checkStore } from "./images/check-store.ts";
import { withMounted } from "./images/with-mounted.ts";
import { checkTrust } from "./images/check-trust.ts";
import { collectGarbage, type GarbageReport } from "./images/collect-garbage.ts";
import { needBlob } from "./images/ensure-blob.ts";
import { ensureLayers } from "./images/ensure-layers.ts";
import { imageOf } from "./images/image-records.ts";
import { Lease } from "./images/lease.ts";
import { type ImageMount, listMounts, mountByHand, unmountByHand, type UnmountImagesOptions } from "./images/mounts.ts";
import { pruneImages, type PruneOptions, type PruneReport } from "./images/prune.ts";
import { pullImage } from "./images/pull.ts";
import { readDocument } from "./images/read-document.ts";
import { pushImage, type PushOptions } from "./images/push.ts";
import {
  dropRestoredLayer,
  ensureRestoredLayer,
  planRestoredLayer,
  type RestoredFiles,
  type RestoredLayer,
} from "./images/restored-layer.ts";
import { writeRootfsDiff } from "./images/rootfs-diff.ts";
import { openStore, type Store } from "./images/store.ts";
import { type StoreUsage, usageOf } from "./images/usage.ts";
import { type VerifyOptions, type VerifyReport, verifyStore } from "./images/verify-store.ts";
import { endLayerServers } from "./lazy/end-layer-servers.ts";
import { parseReference, tagReferenceOf } from "./reference.ts";
import { RemoteImages } from "./remote-images.ts";
import type { Descriptor } from "./spec/descriptor.ts";
import { chainIdsOf } from "./spec/image-config.ts";
import type { LazyLayer } from "./snapshots/lazy-layers.ts";
import { runMerge } from "./snapshots/run-merge.ts";
import { type TreeChange, withoutBelowRemoved } from "./snapshots/compare-trees.ts";
import type { SnapshotterKind } from "./snapshots/snapshotter-kind.ts";
import type { IdMap, WritableLimit, WritableUsage } from "./snapshots/snapshotter.ts";
import { signImage, type SignOptions } from "./trust/sign-image.ts";
import { defaultLayerLimits, type LayerLimits } from "./unpack/layer-limits.ts";

export interface ImagesOptions {
  readonly layout: Layout;
  readonly log: Logger;
  /** What one layer may unpack to; 64 GiB and 4 million files unless told. */
  readonly limits?: LayerLimits;
  /** Blobs fetched at once, of all pulls together; 4 unless told. */
  readonly parallelDownloads?: number;
  /** For verify(): leaves images that have lost something as they are, where they would be forgotten until they are pulled again. */
  readonly keepDamaged?: boolean;
  /** What makes root file systems of layers; tried when it is named. Not named, for who makes none: overlay, untried. */
  readonly snapshotter?: SnapshotterKind;
}

/**
 * The image store of one instance. Any number of processes (the daemon, the command line) may have it open at once: records are
 * read afresh on every call, and what one process is using is never collected by another.
 */
export class Images implements AsyncDisposable {
  /** Works on images in registries and files, without bringing them in. */
  readonly remote: RemoteImages;
  readonly #store: Store;
  readonly #rootfs = new KeyedMutex();

  private constructor(store: Store) {
    this.#store = store;
    this.remote = new RemoteImages(store);
  }

  /** Opens or makes the store; what died processes left half-done is cleared away, what a power cut truncated is found. */
  static async open(options: ImagesOptions): Promise<Images> {
    const { layout, log, limits = defaultLayerLimits, parallelDownloads = 4, snapshotter } = options;
    const store = await openStore({ layout, log, limits, parallelDownloads, snapshotter });
    await checkStore(store, { keepDamaged: options.keepDamaged === true });
    return new Images(store);
  }

  /** Fetches and unpacks an image; asking again checks the registry and fetches only what is missing. */
  pull(reference: string, options: PullOptions = {}): Promise<Image> {
    return pullImage(this.#store, reference, options);
  }

  /** By reference (normalised as docker does), id, or unique prefix of an id (hex, at least 3 digits); undefined when absent. */
  get(nameOrId: string): Image | undefined {
    const { records } = this.#store;
    const id = records.idOf(nameOrId);
    const record = id === undefined ? undefined : records.images.get(id);
    if (id === undefined || record === undefined) return undefined;
    return imageOf(
      id,
      record,
      records.names.entries().flatMap(([name, { imageId }]) => (imageId === id ? [name] : [])),
    );
  }

  /** The bytes of what a name means (an index, when it was pulled by one), or of an image's config. */
  document(nameOrId: string, kind: "manifest" | "config"): Promise<Buffer> {
    return readDocument(this.#store, nameOrId, kind);
  }

  /** Every image, sorted by id. */
  list(): Image[] {
    return this.#store.records.all();
  }

  /** Forgets an image with all its tags and digests; what nothing else uses is deleted. Absent is no error. */
  async remove(nameOrId: string): Promise<void> {
    const id = this.#store.records.idOf(nameOrId);
    if (id === undefined) return;
    this.#store.records.delete(id);
    failpoint("oci.image.forgotten");
    await this.collectGarbage();
  }

  /** Takes one tag away; the image stays as long as it has another name. Absent is no error. */
  async untag(reference: string): Promise<void> {
    const { records } = this.#store;
    const tag = tagReferenceOf(parseReference(reference));
    const id = tag === undefined ? undefined : records.names.get(tag)?.imageId;
    if (id === undefined || tag === undefined) return;
    if ((this.get(id)?.repoTags.length ?? 0) <= 1) await this.remove(id);
    else records.deleteName(tag);
  }

  /** Gives an image another name. */
  tag(nameOrId: string, reference: string): void {
    const { records } = this.#store;
    const id = records.idOf(nameOrId);
    const tag = tagReferenceOf(parseReference(reference));
    if (id === undefined) throw new TripodError("not-found", `tag ${nameOrId}: no such image`);
    if (tag === undefined)
      throw new TripodError("invalid", `tag ${nameOrId}: ${reference} has a digest; give a name and tag`);
    records.addName(id, tag);
  }

  /** Keeps an image from being removed by whoever asks Image.pinned, or lets it go again. */
  pin(nameOrId: string, pinned: boolean): void {
    const { records } = this.#store;
    const id = records.idOf(nameOrId);
    const record = id === undefined ? undefined : records.images.get(id);
    if (id === undefined || record === undefined) throw new TripodError("not-found", `pin ${nameOrId}: no such image`);
    records.images.put(id, { ...record, pinned });
  }

  /** Builds an image of one new layer from a folder or a tar, on top of another image or of nothing. */
  build(options: BuildOptions): Promise<Image> {
    return buildImage(this.#store, options);
  }

  /** Makes an image of the same files whose containers can start before all of it is fetched. */
  convert(nameOrId: string, options: ConvertOptions): Promise<Image> {
    return convertImage(this.#store, this.#need(nameOrId, "convert"), options);
  }

  /** Imports an archive of `docker save` or OCI, a stream of one, or an OCI layout folder. */
  importArchive(input: string | Readable, options: ImportOptions = {}): Promise<Image[]> {
    return importArchive(this.#store, input, options);
  }

  /** Writes images to an archive that docker and OCI tools read; `target` is a path, a stream, or a folder. */
  exportArchive(
    names: string | readonly string[],
    target: string | Writable,
    options: ExportOptions = {},
  ): Promise<void> {
    return exportArchive(this.#store, typeof names === "string" ? [names] : names, { ...options, target });
  }

  /** Pushes an image; returns its "host/repository@digest". */
  push(nameOrId: string, options: PushOptions = {}): Promise<string> {
    return pushImage(this.#store, nameOrId, options);
  }

  /** Signs what a name means in its registry, and puts the signature there; returns the "host/repository@digest" that was signed. */
  sign(reference: string, options: SignOptions): Promise<string> {
    return signImage(this.#store.layout.certsDir, reference, options);
  }

  /** Removes blobs and layers that no image, root file system or running operation uses. */
  collectGarbage(): Promise<GarbageReport> {
    return collectGarbage(this.#store);
  }

  /** Removes images that nothing uses. */
  prune(options: PruneOptions = {}): Promise<PruneReport> {
    return pruneImages(this.#store, options);
  }

  /** What each image takes, alone and together with others. */
  usage(): StoreUsage {
    return usageOf(this.#store);
  }

  /** Mounts an image read-only for people and programs, on `target` or a folder of its own; it stays when this process ends. */
  mount(nameOrId: string, options: { readonly target?: string | undefined } = {}): Promise<ImageMount> {
    const image = this.#need(nameOrId, "mount");
    return mountByHand(this.#store, image, { ...options, ensureUnpacked: () => this.#makeAllUsable(image) });
  }

  /** Takes off what mount() made: on a folder, of an image, or all. Returns the folders. */
  unmount(options: UnmountImagesOptions = {}): string[] {
    return unmountByHand(this.#store, options);
  }

  /** Copies the files that a container of the image would see to `target`, a folder that is not there or empty. */
  copyRootfs(nameOrId: string, target: string): Promise<DiskUsage> {
    const image = this.#need(nameOrId, "unpack");
    return this.#withMounted(image, (lower, scratch) => {
      mkdirSync(target, { recursive: true });
      return runMerge({ lower: [lower], into: target, marksFile: join(scratch, "marks"), sync: false });
    });
  }

  /** What is other in the second of two images, or in a container's root file system; folders that are removed without what was in them. */
  diff(
    nameOrId: string,
    other: { readonly image: string } | { readonly rootfs: string },
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<TreeChange[]> {
    const compare = async (from: string, to: string): Promise<TreeChange[]> => {
      const changes = await this.#store.workers.changes(from, to, options.signal);
      // When a root file system's top was made says nothing of what is in it.
      return withoutBelowRemoved(
        changes.filter(({ path, what = "" }) => path !== "/" || !what.startsWith("changed at ")),
      );
    };
    return this.#withMounted(this.#need(nameOrId, "compare"), (from) =>
      "rootfs" in other
        ? compare(from, other.rootfs)
        : this.#withMounted(this.#need(other.image, "compare"), (to) => compare(from, to)),
    );
  }

  #withMounted<T>(image: Image, work: (folder: string, scratch: string) => Promise<T>): Promise<T> {
    return withMounted(this.#store, image, { ensureUnpacked: () => this.#makeAllUsable(image), work });
  }

  /** Layers that are used before they are whole: whose process serves them, and how far they have come. */
  lazyLayers(): LazyLayer[] {
    return this.#store.snapshotter.lazy.layers();
  }

  /** Ends the processes that serve layers; what still uses such a layer fails from now on. Images that are not whole are forgotten. */
  async endLazyStarts(): Promise<void> {
    await endLayerServers(this.#store);
  }

  /** What mount() made and is still mounted. */
  mounts(): ImageMount[] {
    return listMounts(this.#store);
  }

  #need(nameOrId: string, what: string): Image {
    const image = this.get(nameOrId);
    if (image !== undefined) return image;
    throw new TripodError("not-found", `${what} ${nameOrId}: no such image; tripod image ls lists what there is`);
  }

  /** Looks whether everything in the store is what it was when it came in; has what is damaged fetched again where that is asked for. */
  verify(options: VerifyOptions = {}): Promise<VerifyReport> {
    return verifyStore(this.#store, options);
  }

  /**
   * Mounts a writable root file system of the image at containersDir/<id>/rootfs; the same call again does nothing, also with another limit.
   * What a checkpointed container had written, `restored`, is a layer of its own between: it is under no limit.
   */
  prepareRootfs(
    containerId: string,
    imageNameOrId: string,
    options: { readonly idMap?: IdMap; readonly restored?: RestoredFiles } & WritableLimit = {},
  ): Promise<{ readonly rootfs: string }> {
    const { snapshotter, layout } = this.#store;
    return this.#rootfs.run(containerId, () =>
      withSpan("oci prepare rootfs", { "container.id": containerId }, async () => {
        const rootfs = join(layout.containersDir, containerId, "rootfs");
        if (this.#store.records.rootfs.get(containerId) === undefined) await checkTrust(this.#store, imageNameOrId);
        await using owned = new AsyncDisposableStack();
        const { restored } = options;
        let extra: RestoredLayer | undefined;
        if (restored !== undefined) {
          const tar = join(restored.workDir, "restored-layer.tar");
          owned.defer(() => rm(tar, { force: true }));
          const base = this.#need(imageNameOrId, "restore");
          extra = await planRestoredLayer(this.#store, base, { files: restored, tar });
        }
        // On record before anything else: from then on nobody collects the layers.
        const { layers, image, limit } = this.#recordRootfs(containerId, imageNameOrId, {
          rootfs,
          ...options,
          extra: extra?.chainId,
        });
        failpoint("oci.rootfs.recorded");
        await this.#makeUsable(extra === undefined ? layers : layers.slice(0, -1), image);
        if (extra !== undefined && image !== undefined) await ensureRestoredLayer(this.#store, image, extra);
        const { idMap } = options;
        await snapshotter.mountWritable(containerId, {
          layers,
          target: rootfs,
          ...limit,
          ...(idMap !== undefined && { idMap }),
        });
        return { rootfs };
      }),
    );
  }

  /**
   * Mounts an image read-only at `target`, for a container whose root file system is prepared: the image's layers stay as long as that
   * does, whoever removes the image. The mount itself is the caller's to take away.
   */
  mountImage(
    containerId: string,
    imageNameOrId: string,
    { target, idMap }: { readonly target: string; readonly idMap?: IdMap },
  ): Promise<Image> {
    const { snapshotter, records } = this.#store;
    return this.#rootfs.run(containerId, async () => {
      await checkTrust(this.#store, imageNameOrId);
      const { layers, image } = records.transaction(() => {
        const found = this.get(imageNameOrId);
        const rootfs = records.rootfs.get(containerId);
        if (found === undefined || rootfs === undefined) {
          const missing =
            found === undefined ? `no image ${imageNameOrId}; pull it first` : "it has no root file system";
          throw new TripodError("not-found", `mount an image for ${containerId}: ${missing}`);
        }
        const chains = layersOf(found);
        records.rootfs.put(containerId, { ...rootfs, views: [...(rootfs.views ?? []), ...chains] });
        return { layers: chains, image: found };
      });
      failpoint("oci.view.recorded");
      await this.#makeUsable(layers, image);
      await snapshotter.mountView(containerId, { layers, target, ...(idMap !== undefined && { idMap }) });
      return image;
    });
  }

  /** Why root file systems cannot be shown with the owners of this user namespace; undefined when they can. Tried, with an empty one. */
  async idMapProblem(idMap: IdMap): Promise<string | undefined> {
    const { snapshotter, layout } = this.#store;
    // Named, and in the place, as of a container: so what a crash leaves is found and removed like one's.
    const key = randomHex(32);
    const home = join(layout.containersDir, key);
    const target = join(home, "rootfs");
    try {
      await snapshotter.mountWritable(key, { layers: [], target, idMap });
      return undefined;
    } catch (error) {
      return messageOf(error);
    } finally {
      await snapshotter.removeWritable(key, { target });
      await rm(home, { recursive: true, force: true });
    }
  }

  #recordRootfs(
    containerId: string,
    nameOrId: string,
    { rootfs, maxSizeBytes, extra }: { readonly rootfs: string; readonly extra: Digest | undefined } & WritableLimit,
  ): { layers: readonly Digest[]; image: Image | undefined; limit: WritableLimit } {
    const { records } = this.#store;
    const known = records.rootfs.get(containerId);
    if (known !== undefined) return { layers: known.layers, image: this.get(known.imageId), limit: known.limit ?? {} };
    const limit = maxSizeBytes === undefined ? {} : { maxSizeBytes };
    return records.transaction(() => {
      const image = this.get(nameOrId);
      if (image === undefined) {
        throw new TripodError(
          "not-found",
          `prepare root file system of ${containerId}: no image ${nameOrId}; pull it first`,
        );
      }
      if (image.artifact !== undefined) {
        throw new TripodError(
          "invalid",
          `prepare root file system of ${containerId}: ${nameOrId} is an artifact (${image.artifact.type}), not a container image; mount it as an image volume`,
        );
      }
      const ofImage = chainIdsOf(image.config.rootfs.diff_ids);
      const layers = extra === undefined ? ofImage : [...ofImage, extra];
      const restored = extra === undefined ? {} : { restored: extra };
      records.rootfs.put(containerId, { imageId: image.id, layers, target: rootfs, limit, ...restored });
      return { layers, image, limit };
    });
  }

  #makeAllUsable(image: Image): Promise<void> {
    return this.#makeUsable(layersOf(image), image);
  }

  /** For layers that are lost (or an import that was cut off) while their blobs are there, and for those of artifacts. */
  async #makeUsable(layers: readonly Digest[], image: Image | undefined): Promise<void> {
    const { snapshotter, content, records, log } = this.#store;
    if (layers.every((chainId) => snapshotter.usable(chainId))) return;
    if (image === undefined) return; // mounting says which layer is missing
    if (image.lazy === true) {
      const missing = layers.findIndex((chainId) => !snapshotter.usable(chainId));
      const blob = image.layers[missing];
      if (blob !== undefined && !(await content.has(blob))) {
        // The process that served it is gone, and only a pull brings it back: so that whoever looks for the image pulls it.
        log.warn(
          { image: image.id },
          "an image lost the process that served it, and is forgotten until it is pulled again",
        );
        records.delete(image.id);
        const why = "the process that served it before it was whole has ended";
        throw new TripodError("failed-precondition", `layer ${blob.digest}: ${why}; pull the image again`);
      }
    }
    using lease = new Lease(this.#store.records);
    lease.hold(image.layers.map((layer) => layer.digest));
    const how = {
      signal: new AbortController().signal,
      ensureBlob: (layer: Descriptor) => needBlob(this.#store, layer),
    };
    const { artifact } = image;
    if (artifact === undefined)
      await ensureLayers(this.#store, { layers: image.layers, diffIds: image.config.rootfs.diff_ids, ...how });
    else await ensureArtifactLayer(this.#store, { ...image, artifact }, how);
  }

  /** Unmounts and deletes what prepareRootfs made, also half-made; absent is no error. */
  removeRootfs(containerId: string): Promise<void> {
    const { records, snapshotter, layout } = this.#store;
    return this.#rootfs.run(containerId, async () => {
      const record = records.rootfs.get(containerId);
      const target = record?.target ?? join(layout.containersDir, containerId, "rootfs");
      await snapshotter.removeWritable(containerId, { target });
      failpoint("oci.rootfs.removed");
      records.rootfs.delete(containerId);
      if (record?.restored !== undefined) await dropRestoredLayer(this.#store, record.restored);
    });
  }

  /** What the container has written. Not-found when there is no such root file system. */
  rootfsUsage(containerId: string): Promise<WritableUsage> {
    return this.#store.snapshotter.writableUsage(containerId);
  }

  /**
   * Writes what was written to the container's root file system, and is not its image's, to a tar at `target`; the paths, from "/", of what
   * it deleted. Nothing may be written meanwhile.
   */
  writeRootfsDiff(containerId: string, target: string): Promise<{ readonly deleted: readonly string[] }> {
    return writeRootfsDiff(this.#store, containerId, target);
  }

  /** Unpacks a tar of whatever origin into `dir`, which is empty and its own: nothing of it gets outside. */
  async unpackArchive(tar: string, dir: string): Promise<void> {
    const { workers, limits } = this.#store;
    await workers.unpack({ blob: tar, dir, diffId: undefined, limits });
  }

  /** A place, there or not yet, for what counts toward the container's limit beside its root file system, and goes with that; undefined without one. */
  limitedPlace(containerId: string): string | undefined {
    return this.#store.snapshotter.limitedPlace(containerId);
  }

  /** What the container may write at most; undefined without a limit. */
  rootfsLimit(containerId: string): number | undefined {
    return this.#store.records.rootfs.get(containerId)?.limit?.maxSizeBytes;
  }

  /** Every root file system on record, mounted or not. */
  listRootfs(): Rootfs[] {
    return this.#store.records.rootfs
      .entries()
      .map(([containerId, { imageId, target }]) => ({ containerId, imageId, rootfs: target }));
  }

  /** What all images take on the disk, as blobs and unpacked; `mountpoint` is the folder that holds the snapshots. */
  async fsUsage(): Promise<DiskUsage & { readonly mountpoint: string }> {
    const { content, snapshotter, layout } = this.#store;
    const usage = { ...snapshotter.layersUsage() };
    for (const blob of content.list()) {
      usage.bytes += blob.size;
      usage.inodes += 1;
    }
    return { ...usage, mountpoint: layout.snapshotsDir };
  }

  /** Stops workers; operations that still run fail. Root file systems stay mounted. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store.workers[Symbol.asyncDispose]();
    await this.#store.snapshotter[Symbol.asyncDispose]();
    this.#store.records[Symbol.dispose]();
  }
}
