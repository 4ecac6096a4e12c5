import { apiVersionOf, type ListMeta, type TableRow } from "@tripod/api/kubernetes";
import { badRequest, tooLargeVersion } from "../http/api-error.ts";
import type { Format } from "../http/negotiate.ts";
import type { ObjectPage, PageOptions } from "../registry/object-store.ts";
import type { StoredObject } from "../registry/stored-object.ts";
import { tableOf, tableRow } from "../table/table.ts";
import { renderStored } from "./render.ts";
import type { ResourceRequest } from "./request.ts";
import { type Selection, selectionOf } from "./selection.ts";

/** How many objects are looked at or printed before other work may run. */
const stride = 100;

const wholeNumber = (query: URLSearchParams, name: string): number | undefined => {
  const text = query.get(name) || undefined;
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text))
    throw badRequest(`${name}: Invalid value: ${JSON.stringify(text)}: must be a whole number`);
  return Number(text);
};

/** Reads limit, continue, resourceVersion and resourceVersionMatch. */
export function pageOptionsOf(query: URLSearchParams): PageOptions {
  const limit = wholeNumber(query, "limit");
  const token = query.get("continue") || undefined;
  const revision = wholeNumber(query, "resourceVersion");
  const match = query.get("resourceVersionMatch") || undefined;
  if (match !== undefined && match !== "Exact" && match !== "NotOlderThan")
    throw badRequest(
      `resourceVersionMatch: Unsupported value: ${JSON.stringify(match)}: supported values: "Exact", "NotOlderThan"`,
    );
  if (match !== undefined && revision === undefined)
    throw badRequest(
      "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
    );
  if (match === "Exact" && revision === 0)
    throw badRequest(
      'resourceVersionMatch: Forbidden: resourceVersionMatch "Exact" is forbidden for resourceVersion "0"',
    );
  if (token !== undefined && revision !== undefined && revision !== 0)
    throw badRequest("specifying resource version is not allowed when using continue");
  return {
    ...(limit === undefined || limit === 0 ? {} : { limit }),
    ...(token === undefined ? {} : { continue: token }),
    // Everything newer than what was asked for is shown as it is now: never older, and always consistent.
    ...(match === "Exact" && revision !== undefined ? { revision } : {}),
  };
}

/** One page of what is selected. A page is filled from several of the store where the selection leaves things out. */
async function selectPage(
  request: ResourceRequest,
  selection: Selection,
  page: PageOptions,
): Promise<ObjectPage<StoredObject["object"]>> {
  const { store, resource, namespace } = request;
  const wanted = Number(request.query.get("resourceVersion") ?? 0);
  const current = await store.storage.currentRevision();
  if (wanted > current) throw tooLargeVersion(`Too large resource version: ${wanted}, current: ${current}`);
  const first = await store.list(resource, namespace, page);
  if (selection.isAll) return first;
  const found: StoredObject[] = [];
  for (let current = first; ; ) {
    for (const [index, stored] of current.items.entries()) {
      if (index % stride === stride - 1) await new Promise(setImmediate);
      if (selection.matches(stored.object)) found.push(stored);
    }
    const isFull = page.limit !== undefined && found.length >= page.limit;
    // How many of the rest are selected nobody knows, so nothing is said of them.
    if (isFull || current.continue === undefined) return { ...current, items: found, remaining: 0 };
    current = await store.list(resource, namespace, {
      limit: Math.max(1, (page.limit ?? stride) - found.length),
      continue: current.continue,
    });
  }
}

/** GET of a collection: the text of the list, in the form that the client asked for. */
export async function list(request: ResourceRequest, format: Format): Promise<string> {
  const { resource } = request;
  const page = await selectPage(request, selectionOf(resource, request.query), pageOptionsOf(request.query));
  const metadata: ListMeta = {
    resourceVersion: String(page.revision),
    ...(page.continue === undefined ? {} : { continue: page.continue }),
    ...(page.continue === undefined || page.remaining === 0 ? {} : { remainingItemCount: page.remaining }),
  };
  if (format.kind === "table") {
    const rows: TableRow[] = [];
    for (const [index, stored] of page.items.entries()) {
      if (index % stride === stride - 1) await new Promise(setImmediate);
      rows.push(tableRow(resource, stored.object, format));
    }
    return JSON.stringify(tableOf(resource, rows, { form: format, metadata, withColumns: true }));
  }
  const texts: string[] = [];
  for (const [index, stored] of page.items.entries()) {
    if (index % stride === stride - 1) await new Promise(setImmediate);
    texts.push(renderStored(resource, stored, format));
  }
  const head =
    format.kind === "partial"
      ? { kind: "PartialObjectMetadataList", apiVersion: `meta.k8s.io/${format.version}` }
      : { kind: `${resource.kind}List`, apiVersion: apiVersionOf(resource) };
  return `${JSON.stringify({ ...head, metadata }).slice(0, -1)},"items":[${texts.join(",")}]}`;
}
