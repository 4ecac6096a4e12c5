import { messageOf } from "@tripod/base";
import { fuseProblem } from "@tripod/linux";
import { withSpan } from "@tripod/trace";
import type { Digest } from "../digest.ts";
import type { LazyPullOptions, RegistryAuth } from "../image.ts";
import type { Store } from "../images/store.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { chainIdsOf } from "../spec/image-config.ts";
import { hasToc } from "./read-toc.ts";
import { startLayerServer } from "./start-layer-server.ts";

export interface FetchLazilyOptions extends LazyPullOptions {
  /** Of the image, bottom first, as many as there are diff ids. */
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly Digest[];
  readonly reference: string;
  readonly auth: RegistryAuth | undefined;
  /** Brings the lowest so many layers in as ever. */
  readonly fetchWhole: (count: number) => Promise<void>;
  readonly signal: AbortSignal;
}

/** Below this much to fetch, a process that serves it would take longer. */
const leastBytes = 8 * 1024 * 1024;
/** Each is a process of 60 to 160 MB, for as long as it has something to fetch or to serve. */
const mostServers = 16;
const defaultPatienceMs = 60_000;

/** Has the layers that are missing served while they come in; why that cannot be, in words, when it cannot: then nothing has been done but what helps anyway. */
export async function fetchLazily(store: Store, options: FetchLazilyOptions): Promise<string | undefined> {
  const { layers, diffIds, reference, auth, signal, patienceMs = defaultPatienceMs } = options;
  const { snapshotter, layout, limits } = store;
  const chainIds = chainIdsOf(diffIds);
  const isMissing = layers.map((_, index) => {
    const chainId = chainIds[index];
    return chainId !== undefined && !snapshotter.usable(chainId);
  });
  if (!isMissing.includes(true)) return undefined;
  if (snapshotter.kind !== "overlay")
    return `snapshotter ${snapshotter.kind} needs whole layers; only overlay does not`;
  const problem = fuseProblem();
  if (problem !== undefined) return problem;
  // A layer becomes one when those below it are whole: so those below one that must be whole must be, too.
  const withoutToc = layers.findLastIndex((layer, index) => isMissing[index] === true && !hasToc(layer));
  const from = withoutToc + 1;
  const lazyBytes = layers.reduce((sum, { size }, index) => (index >= from && isMissing[index] ? sum + size : sum), 0);
  if (withoutToc >= 0 && lazyBytes < leastBytes)
    return `layer ${layers[withoutToc]?.digest} has no table of contents that its manifest vouches for; build or convert the image as eStargz or zstd:chunked`;
  if (lazyBytes < leastBytes) return `there are but ${lazyBytes} bytes to fetch`;
  if (new Set(snapshotter.lazy.layers().map(({ owner }) => owner)).size >= mostServers)
    return `${mostServers} other images are being started early already`;
  if (from > 0) await options.fetchWhole(from);
  return withSpan("oci serve layers", { layers: layers.length - from, bytes: lazyBytes }, async (span) => {
    try {
      const request = { layout, limits, reference, layers, diffIds, from, patienceMs };
      const { pid } = await startLayerServer({ ...request, ...(auth !== undefined && { auth }) }, signal);
      span.set({ pid });
      return undefined;
    } catch (error) {
      snapshotter.lazy.sweep();
      signal.throwIfAborted();
      return messageOf(error);
    }
  });
}
