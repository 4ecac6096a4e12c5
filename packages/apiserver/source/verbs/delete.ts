import { type DeleteOptions, formatTime } from "@tripod/api/kubernetes";
import { conflict } from "../http/api-error.ts";
import type { ApiObject } from "../registry/api-object.ts";
import { isDryRun, type ResourceRequest } from "./request.ts";

export interface Deletion {
  readonly object: ApiObject;
  /** Whether it is gone; else it waits for its grace period or its finalizers. */
  readonly gone: boolean;
}

/** DELETE of one object: removed at once, or marked when finalizers or a grace period hold it. */
export function remove(request: ResourceRequest, object: ApiObject, options: DeleteOptions): Deletion {
  const { resource, store } = request;
  const name = object.metadata.name ?? "";
  const { uid, resourceVersion } = options.preconditions ?? {};
  if (uid !== undefined && uid !== object.metadata.uid) {
    throw conflict(
      resource,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${object.metadata.uid}`,
    );
  }
  if (resourceVersion !== undefined && resourceVersion !== object.metadata.resourceVersion) {
    throw conflict(
      resource,
      name,
      `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${object.metadata.resourceVersion}`,
    );
  }
  const graceSeconds = resource.gracePeriodSeconds?.(object, options.gracePeriodSeconds) ?? 0;
  const isHeld = (object.metadata.finalizers?.length ?? 0) > 0 || holdsContent(resource.plural, object);
  if (isDryRun(request)) return { object, gone: !isHeld && graceSeconds === 0 };
  if (graceSeconds === 0 && !isHeld)
    return { object: store.remove(resource, resource.toStored?.(object) ?? object), gone: true };
  const { deletionTimestamp, deletionGracePeriodSeconds } = object.metadata;
  const isShorter = deletionTimestamp === undefined || graceSeconds < (deletionGracePeriodSeconds ?? 0);
  if (!isShorter) return { object, gone: false };
  const marked = structuredClone(object);
  const seconds = Math.floor(Date.now() / 1000) + graceSeconds;
  marked.metadata.deletionTimestamp = formatTime({ seconds });
  marked.metadata.deletionGracePeriodSeconds = graceSeconds;
  if (resource.plural === "namespaces")
    marked.status = { ...(marked.status as object | undefined), phase: "Terminating" };
  const stored = store.update(resource, resource.toStored?.(marked) ?? marked, resource.toStored?.(object) ?? object);
  return { object: resource.fromStored?.(stored) ?? stored, gone: false };
}

/** A namespace is held by spec.finalizers, not by those of its metadata. */
const holdsContent = (plural: string, object: ApiObject): boolean =>
  plural === "namespaces" && ((object.spec as { finalizers?: string[] } | undefined)?.finalizers?.length ?? 0) > 0;

/** After an update: an object marked for deletion that nothing holds any more is removed. */
export function removeIfFinalized(request: ResourceRequest, object: ApiObject): ApiObject {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  if (deletionTimestamp === undefined || (deletionGracePeriodSeconds ?? 0) > 0) return object;
  if ((finalizers?.length ?? 0) > 0 || holdsContent(request.resource.plural, object)) return object;
  return request.store.remove(request.resource, request.resource.toStored?.(object) ?? object);
}
