import { join } from "node:path";
import { Limiter, type Layout, type Logger } from "@tripod/base";
import { ContentStore } from "../content/content-store.ts";
import { OverlaySnapshotter } from "../snapshots/overlay-snapshotter.ts";
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
  readonly snapshotter: OverlaySnapshotter;
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
}): Promise<Store> {
  const { layout, log, limits, parallelDownloads } = options;
  return {
    layout,
    log,
    limits,
    content: new ContentStore(layout.contentDir),
    snapshotter: await OverlaySnapshotter.open(layout.snapshotsDir, log),
    records: ImageRecords.open(layout.contentDir),
    temporary: new TemporaryFolders(join(layout.contentDir, "tmp")),
    workers: new WorkerPool({ size: 2, idleMs: 5000 }),
    downloads: new Limiter(parallelDownloads),
    blobWork: new SharedWork(),
    layerWork: new SharedWork(),
    layerLocks: new ProcessLocks(join(layout.contentDir, "locks")),
  };
}
