import { isTripodError } from "@tripod/base";
import { isDeepStrictEqual } from "node:util";
import { badRequest, conflict, invalid, modifiedMeanwhile } from "../http/api-error.ts";
import type { ApiObject } from "../registry/api-object.ts";
import { FieldErrors } from "../registry/field-errors.ts";
import { checkMetadata } from "../registry/names.ts";
import { removeIfFinalized } from "./delete.ts";
import { contextOf, isDryRun, type ResourceRequest } from "./request.ts";

/** How often a patch is tried again on an object that changes under it. */
const patchTries = 5;

const specOf = (object: ApiObject): Record<string, unknown> => {
  const { metadata: _m, status: _s, apiVersion: _a, kind: _k, ...rest } = object;
  return rest;
};

/** Stores `object` in place of `old`, after the checks of an update of the object or of its status. */
export function replace(request: ResourceRequest, object: ApiObject, old: ApiObject): ApiObject {
  const { resource, store } = request;
  const name = old.metadata.name ?? "";
  const { metadata } = object;
  if (metadata.name !== undefined && metadata.name !== name) {
    throw badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${name})`);
  }
  if (metadata.uid !== undefined && metadata.uid !== "" && metadata.uid !== old.metadata.uid) {
    throw conflict(
      resource,
      name,
      `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${old.metadata.uid}`,
    );
  }
  if (metadata.resourceVersion && metadata.resourceVersion !== old.metadata.resourceVersion)
    throw conflict(resource, name, modifiedMeanwhile);
  const isStatus = request.subresource === "status";
  const next: ApiObject = isStatus
    ? {
        ...specOf(old),
        apiVersion: object.apiVersion ?? "",
        kind: object.kind ?? "",
        metadata,
        ...(object.status === undefined ? {} : { status: object.status }),
      }
    : { ...object };
  if (!isStatus && resource.hasStatus) {
    delete next.status;
    if (old.status !== undefined) next.status = old.status;
  }
  const { deletionTimestamp, deletionGracePeriodSeconds, uid, creationTimestamp, generation, namespace } = old.metadata;
  next.metadata = {
    ...(isStatus ? { ...old.metadata, ...pickStatusMetadata(metadata) } : metadata),
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    ...(generation === undefined ? {} : { generation }),
  };
  delete next.metadata.deletionTimestamp;
  delete next.metadata.deletionGracePeriodSeconds;
  if (deletionTimestamp !== undefined) next.metadata.deletionTimestamp = deletionTimestamp;
  if (deletionGracePeriodSeconds !== undefined) next.metadata.deletionGracePeriodSeconds = deletionGracePeriodSeconds;
  if (!isStatus) resource.prepareUpdate?.(next, old, contextOf(request));
  if (generation !== undefined && !isStatus && !isDeepStrictEqual(specOf(next), specOf(old)))
    next.metadata.generation = generation + 1;
  const errors = new FieldErrors();
  checkMetadata(next.metadata, resource.nameRule, resource.namespaced, errors);
  if (!isStatus) {
    resource.validate?.(next, errors);
    resource.validateUpdate?.(next, old, errors);
  }
  if (deletionTimestamp !== undefined) {
    const added = (next.metadata.finalizers ?? []).filter((each) => !(old.metadata.finalizers ?? []).includes(each));
    if (added.length > 0)
      errors.forbidden(
        "metadata.finalizers",
        `no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`,
      );
  }
  if (errors.causes.length > 0) throw invalid(resource, name, errors.causes);
  if (isDryRun(request)) return next;
  const stored = store.update(resource, resource.toStored?.(next) ?? next, resource.toStored?.(old) ?? old);
  return removeIfFinalized(request, resource.fromStored?.(stored) ?? stored);
}

/** An update of a status may also change labels and annotations, as the kubelet does. */
const pickStatusMetadata = (metadata: ApiObject["metadata"]): Partial<ApiObject["metadata"]> => ({
  ...(metadata.labels === undefined ? {} : { labels: metadata.labels }),
  ...(metadata.annotations === undefined ? {} : { annotations: metadata.annotations }),
});

/** PUT: replaces the object whole. */
export function update(request: ResourceRequest, object: ApiObject): ApiObject {
  const old = read(request);
  return replace(request, object, old);
}

/** The object that the request names, in the resource's version. */
export function read(request: ResourceRequest): ApiObject {
  const found = request.store.get(request.resource, request.namespace, request.name ?? "");
  return request.resource.fromStored?.(found) ?? found;
}

/** Applies `change` to the object as it is now; tries again when somebody else was faster, unless the change itself names a version. */
export function patch(request: ResourceRequest, change: (old: ApiObject) => ApiObject): ApiObject {
  for (let tries = 1; ; tries += 1) {
    const old = read(request);
    const next = change(structuredClone(old));
    const namesVersion = next.metadata.resourceVersion !== old.metadata.resourceVersion;
    try {
      return replace(request, next, old);
    } catch (error) {
      if (!isTripodError(error, "conflict") || namesVersion || tries === patchTries) throw error;
    }
  }
}
