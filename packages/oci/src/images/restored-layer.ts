import { createReadStream, createWriteStream } from "node:fs";
import { posix } from "node:path";
import { pipeline } from "node:stream/promises";
import { failpoint, TripodError } from "@tripod/base";
import { type Digest, hexOf } from "../digest.ts";
import type { Image } from "../image.ts";
import { chainIdsOf } from "../spec/image-config.ts";
import { encodeTarHeader, plainEntry } from "../tar/tar-header.ts";
import type { Store } from "./store.ts";

/** What a checkpointed container had written and deleted: see writeRootfsDiff(). */
export interface RestoredFiles {
  /** A tar; none when nothing was written. */
  readonly diff: string | undefined;
  /** Paths from "/". */
  readonly deleted: readonly string[];
  /** A folder on the disk for what is needed on the way. */
  readonly workDir: string;
}

/** What makes those files a layer on top of an image. */
export interface RestoredLayer {
  readonly tar: string;
  readonly diffId: Digest;
  readonly chainId: Digest;
}

/** The members that hide what was deleted (OCI image specification, layer.md, "Whiteouts"). */
function* whiteouts(deleted: readonly string[]): Generator<Buffer> {
  for (const path of new Set(deleted.map((each) => posix.resolve("/", each)))) {
    if (path === "/") continue;
    const name = `${posix.dirname(path)}/.wh.${posix.basename(path)}`;
    yield encodeTarHeader(plainEntry(name.replace(/^\/+/, ""), 0));
  }
}

/** Writes the files as a layer's tar to `tar`, which is the caller's to remove, and names the layer that they make on top of `image`. */
export async function planRestoredLayer(
  store: Store,
  image: Image,
  { files, tar }: { readonly files: RestoredFiles; readonly tar: string },
): Promise<RestoredLayer> {
  const { diff, deleted } = files;
  await pipeline(
    async function* () {
      yield* whiteouts(deleted);
      if (diff === undefined)
        yield Buffer.alloc(1024); // a tar's end
      // A stream without an encoding yields Buffers.
      else yield* createReadStream(diff, { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>;
    },
    createWriteStream(tar, { mode: 0o600 }),
  );
  const found = await store.workers.digest(tar);
  if (found === undefined) throw new TripodError("internal", `restore files: ${tar} vanished`);
  const chainId = chainIdsOf([...image.config.rootfs.diff_ids, found.digest]).at(-1) ?? found.digest;
  return { tar, diffId: found.digest, chainId };
}

/** Unpacks the layer unless it is there; those below it are, and it is on record for whom it is made, so that nobody collects it. */
export async function ensureRestoredLayer(store: Store, image: Image, layer: RestoredLayer): Promise<void> {
  const { snapshotter, workers, layerLocks, limits } = store;
  const { chainId, tar, diffId } = layer;
  const { signal } = new AbortController();
  await using _lock = await layerLocks.hold(hexOf(chainId), signal);
  if (snapshotter.layer(chainId) !== undefined) return;
  await using draft = await snapshotter.draft();
  const contents = await workers.unpack({ blob: tar, dir: draft.dir, diffId, limits }, signal);
  const below = chainIdsOf(image.config.rootfs.diff_ids);
  const lowerDirs = below.toReversed().flatMap((id) => snapshotter.layer(id)?.dir ?? []);
  await workers.settle({ dir: draft.dir, implied: contents.implied, lowerDirs }, signal);
  failpoint("oci.restored-layer.unpacked");
  const { bytes, inodes, opaqueRoot } = contents;
  await draft.commit({ chainId, parent: below.at(-1), bytes, inodes, opaqueRoot });
}

/** Takes the layer away with the last root file system that has it. */
export async function dropRestoredLayer({ records, snapshotter }: Store, chainId: Digest): Promise<void> {
  await records.transaction(() => {
    const used = records.rootfs.entries().some(([, rootfs]) => rootfs.layers.includes(chainId));
    return used ? Promise.resolve() : snapshotter.removeLayers([chainId]);
  });
}
