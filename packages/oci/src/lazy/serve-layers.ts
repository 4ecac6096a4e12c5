import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Backoff, codeOf, failpoint, Limiter, type Logger, messageOf, randomHex, silentLogger } from "@tripod/base";
import { type FuseMount, mountFuse, trimHeap } from "@tripod/linux";
import { type Digest, hexOf } from "../digest.ts";
import { ensureBlob } from "../images/ensure-blob.ts";
import { ensureLayers } from "../images/ensure-layers.ts";
import { openStore, type Store } from "../images/store.ts";
import { parseReference } from "../reference.ts";
import type { ByteRange } from "../registry/fetch-range.ts";
import { loadHosts } from "../registry/hosts-file.ts";
import { RegistryClient } from "../registry/registry-client.ts";
import type { LazyPlace, LazyState } from "../snapshots/lazy-layers.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { chainIdsOf } from "../spec/image-config.ts";
import type { ByteString } from "../tar/tar-entry.ts";
import { lookUp } from "../unpack/adopt-implied.ts";
import { BlobBytes } from "./blob-bytes.ts";
import { ChunkCache } from "./chunk-cache.ts";
import { Demand } from "./demand.ts";
import { type FolderAttributes, LayerTree } from "./layer-tree.ts";
import { isData } from "./layer-toc.ts";
import { readToc } from "./read-toc.ts";
import type { ServeRequest } from "./server-message.ts";

/** What runtimes read of every root file system before anything runs in it: here before anybody is told that it can. */
const readFirst: readonly ByteString[] = ["etc/passwd", "etc/group"];

/** Tables of contents that are fetched and read side by side. */
const parallelTocs = 4;
/** Each, the whole of it. */
const tocWithinMs = 120_000;

/** What containers read at their start has the network and the processors to itself until so long nothing was asked for, or for so long. */
const quietMs = 1000;
const quietWithinMs = 30_000;

const neverAborted = new AbortController().signal;

/** A layer that is served. */
interface Served {
  readonly chainId: Digest;
  readonly layer: Descriptor;
  readonly blob: BlobBytes;
  readonly tree: LayerTree;
  readonly mount: FuseMount;
  readonly place: LazyPlace;
  /** Its own folder is gone; what was made of it lives on. */
  released: boolean;
  state: LazyState;
}

/**
 * Serves an image's layers from `request.from` on, and calls `onReady` once all can be used. Meanwhile the image is fetched and unpacked as ever: a
 * layer that is whole, digest and diff id verified, takes the served one's place for whatever is made from then on. Ends when nothing is made
 * of any served layer any more.
 */
export async function serveLayers(request: ServeRequest, onReady: () => void): Promise<void> {
  protectFromOom();
  const { layout, limits, diffIds, layers, from } = request;
  await using stack = new AsyncDisposableStack();
  const store = await openStore({ layout, log: silentLogger, limits, parallelDownloads: 4, snapshotter: undefined });
  stack.defer(() => closeStore(store));
  const reference = parseReference(request.reference);
  const hosts = await loadHosts(layout.certsDir, reference.host);
  const client = stack.use(new RegistryClient({ reference, hosts, auth: request.auth }));
  const chainIds = chainIdsOf(diffIds);
  const cache = new ChunkCache();
  const demand = new Demand();
  const served: Served[] = [];
  // Locks go when all stand: until then who wants the same layers waits.
  await using locks = new AsyncDisposableStack();
  const wanted: { readonly index: number; readonly chainId: Digest; readonly layer: Descriptor }[] = [];
  for (const [index, layer] of layers.entries()) {
    const chainId = chainIds[index];
    if (index < from || chainId === undefined) continue;
    locks.use(await store.layerLocks.hold(`${hexOf(chainId)}.lazy`));
    if (!store.snapshotter.usable(chainId)) wanted.push({ index, chainId, layer });
  }
  const reading = new Limiter(parallelTocs);
  const opened = await Promise.all(
    wanted.map(async ({ layer }) => {
      const fetch = (range: ByteRange, signal: AbortSignal): Promise<Buffer> =>
        demand.during(() => client.range(layer, range, signal));
      const signal = AbortSignal.timeout(tocWithinMs);
      const files = await reading.run(() => readToc(layer, (start, end) => fetch({ start, end }, signal), limits));
      const blob = await BlobBytes.open({
        content: store.content,
        blob: layer,
        scratch: join(layout.contentDir, "tmp", `lazy-${process.pid}-${randomHex(6)}`),
        fetch,
        patienceMs: request.patienceMs,
      });
      return { files, blob: stack.use(blob) };
    }),
  );
  const trees = new Map<Digest, LayerTree>();
  for (const [position, { index, chainId, layer }] of wanted.entries()) {
    const found = opened[position];
    if (found === undefined) continue; // as many as are wanted
    const { files, blob } = found;
    const lower = chainIds.slice(0, index).toReversed();
    const tree = new LayerTree(files, {
      below: (path) => folderBelow(path, { lower, trees, store }),
      chunk: (chunk, signal) => cache.get(chunk, blob, signal),
    });
    trees.set(chainId, tree);
    const first = readFirst.flatMap((path) => tree.chunksAt(path));
    for (const chunk of first) if (isData(chunk)) await cache.get(chunk, blob, neverAborted);
    const state: LazyState = { blob: layer.digest, sizeBytes: layer.size, doneBytes: 0 };
    const place = store.snapshotter.lazy.claim(chainId, { ...state, opaqueRoot: tree.opaqueRoot });
    failpoint("oci.lazy.claimed");
    stack.defer(() => place.remove());
    const one = { chainId, layer, blob, tree, place, state, released: false };
    const log = problemLogger((problem) => note(served, chainId, { problem }));
    const mount = stack.use(mountFuse(tree, { target: place.mountPoint, source: "tripod-lazy", log }));
    failpoint("oci.lazy.mounted");
    served.push({ ...one, mount });
  }
  onReady(); // fails when nobody waits for it any more
  await locks.disposeAsync();
  await Promise.all([
    bringWhole(request, { store, client, served, demand }),
    ...served.map(async (one) => {
      await one.mount.ended;
      one.place.remove();
    }),
  ]);
}

async function closeStore(store: Store): Promise<void> {
  await store.workers[Symbol.asyncDispose]();
  await store.snapshotter[Symbol.asyncDispose]();
  store.records[Symbol.dispose]();
}

/** What a folder is in the layers below: in those that this process serves from memory, for it must not wait in its own file systems. */
function folderBelow(
  path: ByteString,
  {
    lower,
    trees,
    store,
  }: { readonly lower: readonly Digest[]; readonly trees: ReadonlyMap<Digest, LayerTree>; readonly store: Store },
): FolderAttributes | undefined {
  for (const chainId of lower) {
    const tree = trees.get(chainId);
    if (tree !== undefined) {
      const found = tree.folderAt(path);
      if (found === undefined) continue;
      return found === "other" ? undefined : found;
    }
    const dir = store.snapshotter.layer(chainId)?.dir ?? store.snapshotter.lazy.dirOf(chainId);
    const stat = dir === undefined ? undefined : lookUp(dir, path);
    if (stat === undefined) continue;
    if (!stat.isDirectory()) return undefined;
    return { mode: Number(stat.mode), uid: Number(stat.uid), gid: Number(stat.gid), mtimeNs: stat.mtimeNs };
  }
  return undefined;
}

/** Fetches and unpacks all of the image, however often that must be tried, as long as a served layer is of use. */
async function bringWhole(
  { layers, diffIds }: ServeRequest,
  {
    store,
    client,
    served,
    demand,
  }: {
    readonly store: Store;
    readonly client: RegistryClient;
    readonly served: Served[];
    readonly demand: Demand;
  },
): Promise<void> {
  const abort = new AbortController();
  const { signal } = abort;
  const unused = Promise.all(served.map((one) => one.mount.ended)).then(() => abort.abort());
  // What came and was wrong will hardly be right in a moment, and is a download of its own.
  const soon = new Backoff({ initialMs: 500, maxMs: 10_000 });
  const late = new Backoff({ initialMs: 30_000, maxMs: 3_600_000 });
  await demand.quiet({ quietMs, withinMs: quietWithinMs, signal });
  while (!signal.aborted) {
    try {
      await ensureLayers(store, {
        layers,
        diffIds,
        signal,
        ensureBlob: (layer) =>
          ensureBlob(store, layer, {
            client,
            signal,
            onProgress: ({ doneBytes, state }) => {
              if (state !== "downloading") return;
              for (const one of served) if (one.layer.digest === layer.digest) advance(one, doneBytes);
            },
          }),
        onProgress: ({ state }) => {
          if (state !== "done" && state !== "unpacking") return;
          releaseWhole(store, served).catch((error: unknown) => noteAll(served, messageOf(error)));
        },
      });
      await releaseWhole(store, served);
      // What it took to get here may be gone for as long as containers run.
      globalThis.gc?.({ execution: "sync", type: "major", flavor: "last-resort" });
      trimHeap();
      break;
    } catch (error) {
      if (signal.aborted) break;
      noteAll(served, messageOf(error));
      const backoff = codeOf(error) === "corrupt" ? late : soon;
      await delay(backoff.next(), undefined, { signal }).catch(() => undefined);
    }
  }
  await unused;
}

/** Whole layers take the place of the served ones. Their blobs are kept open, for those that go on being served. */
async function releaseWhole(store: Store, served: readonly Served[]): Promise<void> {
  for (const one of served) {
    if (one.released || store.snapshotter.layer(one.chainId) === undefined) continue;
    one.released = true;
    await one.blob.arrivedWhole();
    failpoint("oci.lazy.whole");
    one.mount.unmount();
    failpoint("oci.lazy.unmounted");
    one.place.remove();
  }
}

/** How often the progress of a layer is written down. */
const progressMs = 500;
const lastWritten = new WeakMap<Served, number>();

function advance(one: Served, doneBytes: number): void {
  one.blob.arrived(doneBytes);
  one.state = { ...one.state, doneBytes };
  const now = Date.now();
  if (now - (lastWritten.get(one) ?? 0) < progressMs) return;
  lastWritten.set(one, now);
  if (!one.released) one.place.update(one.state);
}

function note(served: readonly Served[], chainId: Digest, { problem }: { readonly problem: string }): void {
  const one = served.find((each) => each.chainId === chainId);
  if (one === undefined || one.released) return;
  one.state = { ...one.state, problem };
  one.place.update(one.state);
}

function noteAll(served: readonly Served[], problem: string): void {
  for (const { chainId } of served) note(served, chainId, { problem });
}

/** What goes wrong with a file system is told where people look for the layer. */
function problemLogger(tell: (problem: string) => void): Logger {
  const say = (fields: object, message: string): void =>
    tell("error" in fields ? `${message}: ${String(fields.error)}` : message);
  const log: Logger = { debug: () => undefined, info: () => undefined, warn: say, error: say, child: () => log };
  return log;
}

/** Containers stand on this process, as they do on their supervisors. */
function protectFromOom(): void {
  try {
    writeFileSync("/proc/self/oom_score_adj", "-900");
  } catch {
    // Not allowed here; then it is what it was started with.
  }
}
