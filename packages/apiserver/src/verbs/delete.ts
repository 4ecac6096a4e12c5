import { type DeleteOptions, formatTime, type KubernetesObject, type Status } from "@tripod/api/kubernetes";
import { isTripodError } from "@tripod/base";
import { preconditionFailed } from "../http/api-error.ts";
import type { StoredObject } from "../registry/stored-object.ts";
import { contextOf, isDryRun, type ResourceRequest } from "./request.ts";
import { booleanParameter } from "./request.ts";

export interface Deletion {
  readonly object: KubernetesObject;
  /** Whether it is gone; else its grace period or a finalizer holds it. */
  readonly gone: boolean;
}

const mostTries = 8;

/** Options of a deletion may stand in the query as well as in the body. */
export function deleteOptionsOf(body: DeleteOptions, query: URLSearchParams): DeleteOptions {
  const seconds = query.get("gracePeriodSeconds");
  const policy = query.get("propagationPolicy");
  const orphan = booleanParameter(query, "orphanDependents");
  return {
    ...(seconds !== null && /^\d{1,9}$/.test(seconds) ? { gracePeriodSeconds: Number(seconds) } : {}),
    ...(policy === null ? {} : { propagationPolicy: policy }),
    ...(orphan === undefined ? {} : { orphanDependents: orphan }),
    ...body,
  };
}

/** Whether something beside a grace period keeps a deleted object. */
const isHeld = (request: ResourceRequest, object: KubernetesObject): boolean =>
  (object.metadata.finalizers?.length ?? 0) > 0 || request.resource.isHeld?.(object) === true;

function checkPreconditions(request: ResourceRequest, object: KubernetesObject, options: DeleteOptions): void {
  const { uid, resourceVersion } = options.preconditions ?? {};
  const { name = "", uid: heldUid = "", resourceVersion: heldVersion = "" } = object.metadata;
  if (uid !== undefined && uid !== heldUid)
    throw preconditionFailed(request.resource, name, { field: "UID", wanted: uid, held: heldUid });
  if (resourceVersion !== undefined && resourceVersion !== heldVersion)
    throw preconditionFailed(request.resource, name, {
      field: "ResourceVersion",
      wanted: resourceVersion,
      held: heldVersion,
    });
}

/** Deletes the object `name`: at once, or, where a grace period or a finalizer holds it, by marking it. */
export async function remove(request: ResourceRequest, name: string, options: DeleteOptions): Promise<Deletion> {
  for (let tries = 1; ; tries += 1) {
    const old = await request.store.get(request.resource, request.namespace, name);
    try {
      return await removeOnce(request, old, options);
    } catch (error) {
      const insists = options.preconditions?.resourceVersion !== undefined;
      const isRace = isTripodError(error, "conflict") && !error.message.includes("Precondition failed");
      if (!isRace || insists || tries === mostTries) throw error;
    }
  }
}

async function removeOnce(request: ResourceRequest, old: StoredObject, options: DeleteOptions): Promise<Deletion> {
  const { resource, store } = request;
  const object = old.object;
  checkPreconditions(request, object, options);
  await resource.admitDelete?.(object, contextOf(request));
  const grace = resource.gracePeriodSeconds?.(object, { asked: options.gracePeriodSeconds }) ?? 0;
  const held = isHeld(request, object);
  const gone = grace === 0 && !held;
  if (isDryRun(request)) return { object, gone };
  if (gone) return { object: await store.remove(resource, old), gone };
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = object.metadata;
  // A deletion that was asked for before can only be hastened.
  if (deletionTimestamp !== undefined && grace >= deletionGracePeriodSeconds) return { object, gone: false };
  const marked = structuredClone(object);
  const askedAt =
    deletionTimestamp === undefined
      ? Date.now() / 1000
      : Date.parse(deletionTimestamp) / 1000 - deletionGracePeriodSeconds;
  marked.metadata.deletionTimestamp = formatTime({ seconds: Math.floor(askedAt) + grace });
  marked.metadata.deletionGracePeriodSeconds = grace;
  if (marked.metadata.generation !== undefined && deletionTimestamp === undefined) marked.metadata.generation += 1;
  resource.markDeleted?.(marked);
  return { object: (await store.update(resource, marked, old)).object, gone: false };
}

/** After an update: what was marked for deletion and is held by nothing any more goes. */
export async function removeIfFinished(request: ResourceRequest, stored: StoredObject): Promise<KubernetesObject> {
  const { object } = stored;
  const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = object.metadata;
  if (deletionTimestamp === undefined || deletionGracePeriodSeconds > 0 || isHeld(request, object)) return object;
  return request.store.remove(request.resource, stored);
}

/** What a client is told of an object that is gone. */
export const deletedStatus = (request: ResourceRequest, object: KubernetesObject): Status => ({
  kind: "Status",
  apiVersion: "v1",
  metadata: {},
  status: "Success",
  details: {
    name: object.metadata.name ?? "",
    ...(request.resource.group === "" ? {} : { group: request.resource.group }),
    kind: request.resource.plural,
    uid: object.metadata.uid ?? "",
  },
});
