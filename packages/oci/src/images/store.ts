import { join } from "node:path";
import { Limiter, type Layout, type Logger } from "@tripod/base";
import { ContentStore } from "../content/content-store.ts";
import { LayeredSnapshotter } from "../snapshots/layered-snapshotter.ts";
import { checkSnapshotter, type SnapshotterKind } from "../snapshots/snapshotter-kind.ts";
import { TemporaryFolders } from "../snapshots/temporary-folders.ts";
import type { LayerLimits } from "../unpack/layer-limits.ts";
import { WorkerPool } from "../unpack/worker-pool.ts";
import { ImageRecords } from "./image-records.ts";
import { ProcessLocks } from "./process-locks.ts";
import { SharedWork } from "./shared-work.ts";

/** The parts of which the image store is made; the operations on images work on these. */
export interface Store {
  readonly layout: Layout;
  readonly log: Logger;
  readonly content: ContentStore;
  readonly snapshotter: LayeredSnapshotter;
  readonly records: ImageRecords;
  /** On the file system of the blobs. */
  readonly temporary: TemporaryFolders;
  readonly workers: WorkerPool;
  readonly limits: LayerLimits;
  /** Of all pulls together. */
  readonly downloads: Limiter;
  readonly blobWork: SharedWork<void>;
  readonly layerWork: SharedWork<void>;
  /** Held while a layer is unpacked, by its chain id. */
  readonly layerLocks: ProcessLocks;
}

export async function openStore(options: {
  layout: Layout;
  log: Logger;
  limits: LayerLimits;
  parallelDownloads: number;
  snapshotter: SnapshotterKind | undefined;
}): Promise<Store> {
  const { layout, log, limits, parallelDownloads, snapshotter: kind } = options;
  const snapshotter = await LayeredSnapshotter.open(layout.snapshotsDir, log, kind);
  if (kind !== undefined) await checkSnapshotter(kind, join(layout.snapshotsDir, "tmp"));
  return {
    layout,
    log,
    limits,
    content: new ContentStore(layout.contentDir),
    snapshotter,
    records: ImageRecords.open(layout.contentDir),
    temporary: new TemporaryFolders(join(layout.contentDir, "tmp")),
    workers: new WorkerPool({ size: 2, idleMs: 5000 }),
    downloads: new Limiter(parallelDownloads),
    blobWork: new SharedWork(),
    layerWork: new SharedWork(),
    layerLocks: new ProcessLocks(join(layout.contentDir, "locks")),
  };
}
