import { apiVersionOf } from "@tripod/api/kubernetes";
import { badRequest, statusOf } from "../http/api-error.ts";
import type { Format } from "../http/negotiate.ts";
import type { ApiObject } from "../registry/api-object.ts";
import type { StorageEvent, StorageWatch } from "../storage/storage.ts";
import { toTable } from "../table/table.ts";
import { list } from "./list.ts";
import type { ResourceRequest } from "./request.ts";
import { selection } from "./selection.ts";

type Frame = { readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR"; readonly object: unknown };

/** How often a quiet watch is told how far it is, in milliseconds. */
const bookmarkEveryMs = 60_000;

const bookmark = (request: ResourceRequest, revision: number, annotations?: Record<string, string>): ApiObject => ({
  kind: request.resource.kind,
  apiVersion: apiVersionOf(request.resource),
  metadata: { resourceVersion: String(revision), ...(annotations === undefined ? {} : { annotations }) },
});

/** What one change of the store is to a watcher that sees only what `matches`. */
function toFrame(
  request: ResourceRequest,
  event: StorageEvent,
  matches: (object: ApiObject) => boolean,
): Frame | undefined {
  const { store, resource } = request;
  const view = (object: ApiObject): ApiObject => resource.fromStored?.(object) ?? object;
  const previous = event.previous === undefined ? undefined : view(store.parse(event.previous));
  const wasSeen = previous !== undefined && matches(previous);
  if (event.type === "put") {
    const current = view(store.parse(event.current));
    if (matches(current)) return { type: wasSeen ? "MODIFIED" : "ADDED", object: current };
  }
  if (!wasSeen || event.previous === undefined) return undefined;
  return { type: "DELETED", object: view(store.parse(event.previous, event.revision)) };
}

/**
 * GET with watch=true. Yields frames until the time asked for is over or the client is gone. Without a resourceVersion, or with
 * sendInitialEvents, what is there comes first as ADDED; a streaming list then gets its initial-events-end bookmark. What is wrong with
 * the request is thrown at once, before any frame.
 */
export function watch(request: ResourceRequest, format: Format, signal: AbortSignal): AsyncIterable<Frame> {
  const { query, resource, store } = request;
  const matches = selection(resource, query);
  const asked = query.get("resourceVersion") ?? "";
  const initial = query.get("sendInitialEvents") === "true";
  const bookmarks = query.get("allowWatchBookmarks") === "true";
  if (initial && query.get("resourceVersionMatch") !== "NotOlderThan") {
    throw badRequest("sendInitialEvents is set: resourceVersionMatch=NotOlderThan is required");
  }
  if (!/^(0|[1-9]\d*)?$/.test(asked))
    throw badRequest(`invalid resource version ${JSON.stringify(asked)}: it is a decimal number`);
  const listFirst = initial || asked === "" || asked === "0";
  const start = listFirst ? store.revision : Number(asked);
  if (start > store.revision) throw badRequest(`Too large resource version: ${start}, current: ${store.revision}`);
  const changes = store.watch(resource, request.namespace, start);
  return frames({ request, format, signal, matches, changes, start, listFirst, initial, bookmarks });
}

interface OpenWatch {
  readonly request: ResourceRequest;
  readonly format: Format;
  readonly signal: AbortSignal;
  readonly matches: (object: ApiObject) => boolean;
  readonly changes: StorageWatch;
  /** The revision after which changes follow. */
  readonly start: number;
  readonly listFirst: boolean;
  readonly initial: boolean;
  readonly bookmarks: boolean;
}

async function* frames(open: OpenWatch): AsyncGenerator<Frame, void, undefined> {
  const { request, format, signal, matches, changes, start, listFirst, initial, bookmarks } = open;
  const { query, resource, store } = request;
  let columns = true;
  const frame = (each: Frame): Frame => {
    if (format.kind !== "table" || each.type === "ERROR")
      return format.kind === "partial" ? partialFrame(each, format.version) : each;
    const object = each.object as ApiObject; // every frame but ERROR carries one
    const objects = each.type === "BOOKMARK" ? [] : [object];
    const table = toTable(
      resource,
      objects,
      format.table,
      { resourceVersion: object.metadata.resourceVersion ?? "" },
      columns,
    );
    columns = false;
    return { type: each.type, object: table };
  };
  const close = (): void => changes.close();
  signal.addEventListener("abort", close, { once: true });
  let reached = start;
  try {
    if (listFirst) {
      const whole = new URLSearchParams(query);
      for (const name of ["limit", "continue"]) whole.delete(name);
      // Later changes are in `changes` already; an object that changed while we listed comes twice, in order.
      for (const object of (await list({ ...request, query: whole })).items) yield frame({ type: "ADDED", object });
      if (initial)
        yield frame({ type: "BOOKMARK", object: bookmark(request, start, { "k8s.io/initial-events-end": "true" }) });
    }
    const events = changes[Symbol.asyncIterator]();
    let pending = events.next();
    for (;;) {
      const timer = Promise.withResolvers<"quiet">();
      const timeout = setTimeout(() => timer.resolve("quiet"), bookmarkEveryMs);
      const next = await Promise.race([pending, timer.promise]);
      clearTimeout(timeout);
      if (next === "quiet") {
        if (bookmarks) yield frame({ type: "BOOKMARK", object: bookmark(request, Math.max(reached, store.revision)) });
        continue;
      }
      if (next.done) return;
      pending = events.next();
      reached = next.value.revision;
      const made = toFrame(request, next.value, matches);
      if (made !== undefined) yield frame(made);
    }
  } catch (error) {
    if (!signal.aborted) yield { type: "ERROR", object: statusOf(error) };
  } finally {
    signal.removeEventListener("abort", close);
    changes.close();
  }
}

function partialFrame(frame: Frame, version: string): Frame {
  if (frame.type === "ERROR") return frame;
  const { metadata } = frame.object as ApiObject; // every frame but ERROR carries one
  return {
    type: frame.type,
    object: { kind: "PartialObjectMetadata", apiVersion: `meta.k8s.io/${version}`, metadata },
  };
}
