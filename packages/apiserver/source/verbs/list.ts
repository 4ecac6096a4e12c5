import { badRequest } from "../http/api-error.ts";
import type { ObjectPage } from "../registry/object-store.ts";
import type { ResourceRequest } from "./request.ts";
import { selection } from "./selection.ts";

/** The most objects that one step looks at before others get their turn. */
const stepSize = 500;

/** GET of a collection: one page of what the selectors match. */
export async function list(request: ResourceRequest): Promise<ObjectPage> {
  const { resource, store, query } = request;
  const matches = selection(resource, query);
  const limit = Number(query.get("limit") ?? 0);
  if (!Number.isInteger(limit) || limit < 0) throw badRequest(`limit: ${query.get("limit")} is not a positive integer`);
  const items: ObjectPage["items"] = [];
  let next = query.get("continue") ?? "";
  let page: ObjectPage;
  // A long list is read in steps, so that other requests are served in between.
  do {
    page = store.list(resource, request.namespace, {
      limit: limit === 0 ? stepSize : Math.min(stepSize, limit - items.length),
      ...(next === "" ? {} : { continue: next }),
    });
    for (const stored of page.items) {
      const object = resource.fromStored?.(stored) ?? stored;
      if (matches(object)) items.push(object);
    }
    next = page.continue ?? "";
    if (next !== "") await new Promise(setImmediate);
  } while (next !== "" && (limit === 0 || items.length < limit));
  return { ...page, items };
}
