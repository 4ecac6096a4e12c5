import { apiVersionOf, type Status } from "@tripod/api/kubernetes";
import type { Format } from "../http/negotiate.ts";
import type { ObjectStore } from "../registry/object-store.ts";
import type { Resource } from "../registry/resource.ts";
import { StoredObject } from "../registry/stored-object.ts";
import type { StorageEvent } from "../storage/storage.ts";
import { tableOf, tableRow } from "../table/table.ts";
import { renderStored } from "./render.ts";
import type { Selection } from "./selection.ts";

export type EventType = "ADDED" | "MODIFIED" | "DELETED";

export interface ObjectEvent {
  readonly type: EventType;
  readonly stored: StoredObject;
}

/** Objects of deletions, so that each is printed once for all watchers. By resource, for what is stored for two. */
const removed = new WeakMap<StorageEvent, Map<Resource, StoredObject>>();

function removedObject(resource: Resource, event: StorageEvent, revision: number): StoredObject | undefined {
  if (event.previous === undefined) return undefined;
  const byResource = removed.get(event) ?? new Map<Resource, StoredObject>();
  removed.set(event, byResource);
  const stored = byResource.get(resource) ?? new StoredObject(resource, event.previous, revision);
  byResource.set(resource, stored);
  return stored;
}

/** What a change of the store is to a watcher of a selection: an object may come into it and leave it; undefined for neither. */
export function objectEvent(
  request: { readonly resource: Resource; readonly store: ObjectStore; readonly selection: Selection },
  event: StorageEvent,
): ObjectEvent | undefined {
  const { resource, store, selection } = request;
  const now = event.type === "put" ? store.objectOf(resource, event.current) : undefined;
  const before = event.previous === undefined ? undefined : removedObject(resource, event, event.revision);
  const was = before !== undefined && (selection.isAll || selection.matches(before.object));
  const is = now !== undefined && (selection.isAll || selection.matches(now.object));
  if (is) return { type: was ? "MODIFIED" : "ADDED", stored: now };
  return was ? { type: "DELETED", stored: before } : undefined;
}

/** Prints the events of one watch, a JSON text a line. */
export class WatchPrinter {
  readonly #resource: Resource;
  readonly #format: Format;
  #isFirst = true;

  constructor(resource: Resource, format: Format) {
    this.#resource = resource;
    this.#format = format;
  }

  event({ type, stored }: ObjectEvent): string {
    const format = this.#format;
    if (format.kind !== "table") return `{"type":"${type}","object":${renderStored(this.#resource, stored, format)}}\n`;
    const metadata = { resourceVersion: String(stored.revision) };
    const table = tableOf(this.#resource, [tableRow(this.#resource, stored.object, format)], {
      form: format,
      metadata,
      withColumns: this.#isFirst,
    });
    this.#isFirst = false;
    return `${JSON.stringify({ type, object: table })}\n`;
  }

  bookmark(revision: number, options: { readonly endsInitial: boolean }): string {
    const format = this.#format;
    const metadata = {
      resourceVersion: String(revision),
      ...(options.endsInitial ? { annotations: { "k8s.io/initial-events-end": "true" } } : {}),
    };
    const resource = this.#resource;
    const head =
      format.kind === "partial"
        ? { kind: "PartialObjectMetadata", apiVersion: `meta.k8s.io/${format.version}` }
        : { kind: resource.kind, apiVersion: apiVersionOf(resource) };
    const plain = { ...head, metadata };
    const object =
      format.kind === "table"
        ? tableOf(resource, [{ cells: resource.columns.map(() => ""), object: plain }], {
            form: format,
            metadata: { resourceVersion: String(revision) },
            withColumns: false,
          })
        : plain;
    return `${JSON.stringify({ type: "BOOKMARK", object })}\n`;
  }

  error(status: Status): string {
    return `${JSON.stringify({ type: "ERROR", object: status })}\n`;
  }
}
