import { randomUUID } from "node:crypto";
import { type KubernetesObject, timeNow } from "@tripod/api/kubernetes";
import { isTripodError } from "@tripod/base";
import { alreadyExists, badRequest, invalid } from "../http/api-error.ts";
import { FieldErrors } from "../registry/field-errors.ts";
import { checkMetadata, generatedName } from "../registry/names.ts";
import { checkNamespace } from "./namespace-lifecycle.ts";
import { trackCreation } from "./track-fields.ts";
import { contextOf, isDryRun, type ResourceRequest } from "./request.ts";

/** How many generated names are tried before the clash is reported. */
const nameTries = 8;

/** POST of a new object: completes it, checks it and stores it. */
export async function create(request: ResourceRequest, object: KubernetesObject): Promise<KubernetesObject> {
  const { metadata } = object;
  if (metadata.name === undefined && metadata.generateName !== undefined) {
    for (let tries = 1; ; tries += 1) {
      const named = structuredClone(object);
      named.metadata.name = generatedName(metadata.generateName);
      try {
        return await createNamed(request, named);
      } catch (error) {
        if (!isTripodError(error, "already-exists") || tries === nameTries) throw error;
      }
    }
  }
  return createNamed(request, object);
}

const createNamed = (request: ResourceRequest, object: KubernetesObject): Promise<KubernetesObject> =>
  createTracked(request, object, (each) => trackCreation(request, each));

/** As create, for an object whose fields have their owners written down already. */
export const createApplied = (request: ResourceRequest, object: KubernetesObject): Promise<KubernetesObject> =>
  createTracked(request, object, (each) => each);

async function createTracked(
  request: ResourceRequest,
  given: KubernetesObject,
  track: (object: KubernetesObject) => KubernetesObject,
): Promise<KubernetesObject> {
  const { resource, store } = request;
  let object = given;
  const { metadata } = given;
  if (resource.namespaced) {
    if (metadata.namespace && metadata.namespace !== request.namespace)
      throw badRequest(
        `the namespace of the provided object does not match the namespace sent on the request (${metadata.namespace} is not ${request.namespace})`,
      );
    metadata.namespace = request.namespace ?? "default";
    await checkNamespace(request, metadata.namespace, metadata.name ?? "");
  }
  if (metadata.resourceVersion) throw badRequest("resourceVersion should not be set on objects to be created");
  delete metadata.resourceVersion;
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.selfLink;
  delete metadata.generation;
  metadata.uid = randomUUID();
  metadata.creationTimestamp = timeNow();
  const context = contextOf(request);
  resource.applyDefaults?.(object);
  object = track(object);
  const { name = "" } = metadata;
  await resource.admitCreate?.(object, context);
  if (resource.hasGeneration === true) object.metadata.generation = 1;
  resource.prepareCreate?.(object, context);
  const errors = new FieldErrors();
  checkMetadata(object.metadata, resource, errors);
  resource.validate?.(object, errors);
  if (errors.causes.length > 0) throw invalid(resource, object, errors.causes);
  if (isDryRun(request)) {
    if ((await store.find(resource, metadata.namespace, name)) !== undefined) throw alreadyExists(resource, name);
    return object;
  }
  const created = (await store.create(resource, object)).object;
  await resource.afterCreate?.(created, context);
  return created;
}
