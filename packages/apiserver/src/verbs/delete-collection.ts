import type { DeleteOptions } from "@tripod/api/kubernetes";
import { isTripodError } from "@tripod/base";
import type { StoredObject } from "../registry/stored-object.ts";
import { remove } from "./delete.ts";
import { pageOptionsOf } from "./list.ts";
import type { ResourceRequest } from "./request.ts";
import { selectionOf } from "./selection.ts";

/** How many deletions run side by side. */
const width = 16;

/** DELETE of a collection: every selected object, each in its own way. What somebody else deleted meanwhile is no failure. */
export async function deleteCollection(
  request: ResourceRequest,
  options: DeleteOptions,
): Promise<readonly StoredObject[]> {
  const { store, resource, namespace } = request;
  const selection = selectionOf(resource, request.query);
  const page = await store.list(resource, namespace, pageOptionsOf(request.query));
  const chosen = page.items.filter((stored) => selection.isAll || selection.matches(stored.object));
  const failures: unknown[] = [];
  for (let at = 0; at < chosen.length; at += width) {
    const results = await Promise.allSettled(
      chosen.slice(at, at + width).map(({ object: { metadata } }) => {
        const own = { ...request, namespace: resource.namespaced ? metadata.namespace : undefined };
        return remove(own, metadata.name ?? "", options);
      }),
    );
    for (const result of results)
      if (result.status === "rejected" && !isTripodError(result.reason, "not-found")) failures.push(result.reason);
  }
  if (failures.length > 0) throw failures[0];
  return chosen;
}
