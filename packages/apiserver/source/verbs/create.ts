import { timeNow } from "@tripod/api/kubernetes";
import { randomUUID } from "node:crypto";
import { badRequest, forbidden, invalid, notFound } from "../http/api-error.ts";
import type { ApiObject } from "../registry/api-object.ts";
import { FieldErrors } from "../registry/field-errors.ts";
import { checkMetadata } from "../registry/names.ts";
import { randomSuffix } from "./random-suffix.ts";
import { contextOf, isDryRun, type ResourceRequest } from "./request.ts";

const namespaces = { group: "", plural: "namespaces", storageName: "namespaces", namespaced: false } as const;
/** Refuses what belongs into a namespace that is not there or is on its way out. */
function checkNamespace(request: ResourceRequest, name: string): void {
  const namespace = request.store.find(namespaces, undefined, name);
  if (namespace === undefined) throw notFound(namespaces, name);
  if (namespace.metadata.deletionTimestamp !== undefined) {
    throw forbidden(`unable to create new content in namespace ${name} because it is being terminated`);
  }
}

/** POST of a new object. */
export function create(request: ResourceRequest, object: ApiObject): ApiObject {
  const { resource, store } = request;
  const { metadata } = object;
  if (resource.namespaced) {
    if (metadata.namespace && metadata.namespace !== request.namespace) {
      throw badRequest(
        `the namespace of the provided object does not match the namespace sent on the request (${metadata.namespace} is not ${request.namespace})`,
      );
    }
    metadata.namespace = request.namespace ?? "";
    checkNamespace(request, metadata.namespace);
  }
  if (metadata.resourceVersion) throw badRequest("resourceVersion should not be set on objects to be created");
  if (!metadata.name && metadata.generateName) metadata.name = `${metadata.generateName.slice(0, 58)}${randomSuffix()}`;
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.managedFields;
  metadata.uid = randomUUID();
  metadata.creationTimestamp = timeNow();
  if (resource.hasStatus) {
    metadata.generation = 1;
    delete object.status;
  }
  const context = contextOf(request);
  resource.prepareCreate?.(object, context);
  const errors = new FieldErrors();
  checkMetadata(metadata, resource.nameRule, resource.namespaced, errors);
  resource.validate?.(object, errors);
  if (errors.causes.length > 0) throw invalid(resource, metadata.name ?? "", errors.causes);
  resource.admitCreate?.(object, context);
  const stored = resource.toStored?.(object) ?? object;
  if (isDryRun(request)) return object;
  const created = store.create(resource, stored);
  resource.afterCreate?.(created, context);
  return resource.fromStored?.(created) ?? created;
}
