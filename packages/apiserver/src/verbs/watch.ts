import type { Format } from "../http/negotiate.ts";
import { statusOf } from "../http/api-error.ts";
import type { StorageWatch } from "../storage/storage.ts";
import type { ResourceRequest } from "./request.ts";
import { selectionOf } from "./selection.ts";
import { objectEvent, WatchPrinter } from "./watch-events.ts";
import { watchOptionsOf, type WatchOptions } from "./watch-options.ts";

/** How often a watch that takes bookmarks gets one. */
const bookmarkEveryMs = 60_000;
/** How many objects are printed before other work may run. */
const stride = 100;

/** A watch whose start is settled: refusals are thrown before the first byte of the reply. */
export interface OpenWatch {
  /** Lines of the reply, until the time is up, the client has gone or the server stops. */
  lines(): AsyncGenerator<string, void, undefined>;
}

/** GET with watch=true. */
export async function watch(request: ResourceRequest, format: Format): Promise<OpenWatch> {
  const { resource, store, namespace } = request;
  const options = watchOptionsOf(request.query);
  const selection = selectionOf(resource, request.query, request.name);
  const printer = new WatchPrinter(resource, format);
  const atStart =
    options.start === "now" ? await store.list(resource, namespace) : { items: [], revision: options.start };
  const from = atStart.revision === "now-only" ? await store.storage.currentRevision() : atStart.revision;
  const changes = await store.watch(resource, namespace, from);

  async function* initial(): AsyncGenerator<string, void, undefined> {
    for (const [index, stored] of atStart.items.entries()) {
      if (index % stride === stride - 1) await new Promise(setImmediate);
      if (selection.isAll || selection.matches(stored.object)) yield printer.event({ type: "ADDED", stored });
    }
    if (options.marksInitialEnd) yield printer.bookmark(from, { endsInitial: true });
  }

  async function* lines(): AsyncGenerator<string, void, undefined> {
    using _end = endsInTime(changes, request.signal, options);
    try {
      yield* initial();
      for await (const item of changes) {
        if (item.type === "bookmark") yield printer.bookmark(item.revision, { endsInitial: false });
        else {
          const event = objectEvent({ resource, store, selection }, item);
          if (event !== undefined) yield printer.event(event);
        }
      }
    } catch (error) {
      // The reply has begun: what went wrong is its last event.
      yield printer.error(statusOf(error));
    } finally {
      changes.close();
    }
  }
  return { lines };
}

/** Ends the watch when its time is up or its client has gone, and asks for bookmarks meanwhile. */
function endsInTime(changes: StorageWatch, signal: AbortSignal, options: WatchOptions): Disposable {
  const end = (): void => {
    // Where it got to is worth a last bookmark, so that the client goes on from there.
    if (options.bookmarks && !signal.aborted) changes.requestBookmark();
    changes.close();
  };
  const timeout = setTimeout(end, options.timeoutMs);
  const ticking = options.bookmarks ? setInterval(() => changes.requestBookmark(), bookmarkEveryMs) : undefined;
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  return {
    [Symbol.dispose]() {
      clearTimeout(timeout);
      clearInterval(ticking);
      signal.removeEventListener("abort", end);
    },
  };
}
