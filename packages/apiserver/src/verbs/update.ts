import { isDeepStrictEqual } from "node:util";
import type { KubernetesObject, ObjectMeta } from "@tripod/api/kubernetes";
import { isTripodError } from "@tripod/base";
import { badRequest, conflict, invalid, modifiedMeanwhile, preconditionFailed } from "../http/api-error.ts";
import { FieldErrors } from "../registry/field-errors.ts";
import { checkMetadata } from "../registry/names.ts";
import type { StoredObject } from "../registry/stored-object.ts";
import { removeIfFinished } from "./delete.ts";
import { trackChange } from "./track-fields.ts";
import { contextOf, isDryRun, type ResourceRequest } from "./request.ts";

/** How often an unconditional write is tried again on an object that changes under it. */
const mostTries = 8;

/** Objects have a status beside what their own type says; only its presence matters here. */
type WithStatus = KubernetesObject & { status?: unknown };

/** What metadata.generation counts: everything but metadata and status. */
function specOf(object: KubernetesObject): Record<string, unknown> {
  const { metadata: _metadata, status: _status, ...rest }: WithStatus = object;
  return rest;
}

/** metadata of an update: what the server alone decides stays as it was. */
function keptMetadata(given: ObjectMeta, old: ObjectMeta): ObjectMeta {
  const metadata: ObjectMeta = { ...given };
  for (const key of [
    "name",
    "generateName",
    "namespace",
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "resourceVersion",
  ] as const) {
    delete metadata[key];
    if (old[key] !== undefined) Object.assign(metadata, { [key]: old[key] });
  }
  delete metadata.selfLink;
  return metadata;
}

/** The object to be stored for an update of the whole, or of the status alone. */
function combine(request: ResourceRequest, given: KubernetesObject, old: KubernetesObject): KubernetesObject {
  const { resource, subresource } = request;
  const metadata = keptMetadata(given.metadata, old.metadata);
  const [givenStatus, oldStatus] = [given as WithStatus, old as WithStatus].map((each) => each.status);
  if (subresource === "status") {
    // Everything but the status is the old object's; of the metadata, a status writer may change what is no one's identity.
    const next: WithStatus = { ...structuredClone(old), metadata: { ...metadata, ...ownersOf(old.metadata) } };
    if (givenStatus === undefined) delete next.status;
    else next.status = givenStatus;
    return next;
  }
  const next: WithStatus = { ...given, metadata };
  if (resource.hasStatus === true) {
    delete next.status;
    if (oldStatus !== undefined) next.status = structuredClone(oldStatus);
  }
  return next;
}

function ownersOf(old: ObjectMeta): Pick<ObjectMeta, "ownerReferences" | "finalizers"> {
  const { ownerReferences, finalizers } = old;
  return {
    ...(ownerReferences === undefined ? {} : { ownerReferences }),
    ...(finalizers === undefined ? {} : { finalizers }),
  };
}

function checkIdentity(request: ResourceRequest, given: ObjectMeta, old: ObjectMeta): void {
  const { resource } = request;
  const name = old.name ?? "";
  if (given.name !== undefined && given.name !== name)
    throw badRequest(`the name of the object (${given.name}) does not match the name on the URL (${name})`);
  if (given.namespace && given.namespace !== old.namespace)
    throw badRequest(
      `the namespace of the object (${given.namespace}) does not match the namespace on the URL (${old.namespace ?? ""})`,
    );
  if (given.uid && given.uid !== old.uid)
    throw preconditionFailed(resource, name, { field: "UID", wanted: given.uid, held: old.uid ?? "" });
  if (given.resourceVersion && given.resourceVersion !== old.resourceVersion)
    throw conflict(resource, name, modifiedMeanwhile);
}

function checkFinalizers(metadata: ObjectMeta, old: ObjectMeta, errors: FieldErrors): void {
  if (old.deletionTimestamp === undefined) return;
  const added = (metadata.finalizers ?? []).filter((each) => old.finalizers?.includes(each) !== true);
  if (added.length > 0)
    errors.forbidden(
      "metadata.finalizers",
      `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((each) => JSON.stringify(each)).join(", ")}}`,
    );
}

/** Checks `given` as the new state of `old` and stores it. What nothing holds any more after a deletion is removed with it. */
export const replace = (
  request: ResourceRequest,
  given: KubernetesObject,
  old: StoredObject,
): Promise<KubernetesObject> => checkAndStore(request, given, old, (next) => trackChange(request, old.object, next));

/** As replace, for an object whose fields have their owners written down already. */
export const replaceTracked = (
  request: ResourceRequest,
  given: KubernetesObject,
  old: StoredObject,
): Promise<KubernetesObject> => checkAndStore(request, given, old, (next) => next);

async function checkAndStore(
  request: ResourceRequest,
  given: KubernetesObject,
  old: StoredObject,
  track: (next: KubernetesObject) => KubernetesObject,
): Promise<KubernetesObject> {
  const { resource } = request;
  const before = old.object;
  checkIdentity(request, given.metadata, before.metadata);
  const isStatus = request.subresource === "status";
  let next = combine(request, given, before);
  const context = contextOf(request);
  resource.applyDefaults?.(next);
  if (isStatus) resource.prepareStatusUpdate?.(next, before, context);
  else {
    resource.prepareUpdate?.(next, before, context);
    await resource.admitUpdate?.(next, before, context);
  }
  next = track(next);
  const { generation } = before.metadata;
  if (resource.hasGeneration === true && !isDeepStrictEqual(specOf(next), specOf(before)))
    next.metadata.generation = (generation ?? 0) + 1;
  const errors = new FieldErrors();
  checkMetadata(next.metadata, resource, errors);
  checkFinalizers(next.metadata, before.metadata, errors);
  if (isStatus) resource.validateStatusUpdate?.(next, before, errors);
  else {
    resource.validate?.(next, errors);
    resource.validateUpdate?.(next, before, errors);
  }
  if (errors.causes.length > 0) throw invalid(resource, next, errors.causes);
  if (isDryRun(request)) return next;
  return removeIfFinished(request, await request.store.update(resource, next, old));
}

/** Reads the object that the request names. */
export const read = (request: ResourceRequest): Promise<StoredObject> =>
  request.store.get(request.resource, request.namespace, request.name ?? "");

/**
 * Changes the object that the request names by `change`, which gets the present state and returns the next. When somebody else was faster it
 * is asked again, unless what it returns insists on the state that it was made from.
 */
export async function change(
  request: ResourceRequest,
  next: (old: StoredObject) => KubernetesObject | Promise<KubernetesObject>,
  options: { readonly insists: (given: KubernetesObject) => boolean },
): Promise<KubernetesObject> {
  for (let tries = 1; ; tries += 1) {
    const old = await read(request);
    const given = await next(old);
    try {
      return await replace(request, given, old);
    } catch (error) {
      if (!isTripodError(error, "conflict") || options.insists(given) || tries === mostTries) throw error;
    }
  }
}

/** PUT: replaces the object whole; only in the version that it names, if it names one. */
export const update = (request: ResourceRequest, object: KubernetesObject): Promise<KubernetesObject> =>
  change(request, () => structuredClone(object), { insists: (given) => Boolean(given.metadata.resourceVersion) });
