import {
  apiVersionOf,
  type KubernetesObject,
  type ManagerIdentity,
  schemaOf,
  timeNow,
  trackUpdate,
} from "@tripod/api/kubernetes";
import { fieldManagerOf, type ResourceRequest } from "./request.ts";

/** As whom the request writes fields. */
export const managerOf = (request: ResourceRequest): ManagerIdentity => ({
  manager: fieldManagerOf(request),
  apiVersion: apiVersionOf(request.resource),
  now: timeNow(),
  ...(request.subresource === undefined ? {} : { subresource: request.subresource }),
});

/** Schema functions take and return an object as plain JSON; what went in with metadata comes out with it. */
export const asObject = (json: Record<string, unknown>): KubernetesObject => ({ metadata: {}, ...json });

const record = (
  request: ResourceRequest,
  before: KubernetesObject | undefined,
  after: KubernetesObject,
): KubernetesObject => {
  const schema = schemaOf(request.resource);
  if (schema === undefined) return after;
  return asObject(
    trackUpdate(schema, before === undefined ? undefined : { ...before }, { ...after }, managerOf(request)),
  );
};

/** Entries that say something; a client empties the record by sending one empty entry. */
const entriesOf = ({ metadata }: KubernetesObject) =>
  (metadata.managedFields ?? []).filter((entry) => entry.manager !== undefined || entry.fieldsV1 !== undefined);

const withEntries = (object: KubernetesObject, managedFields: ReturnType<typeof entriesOf>): KubernetesObject => {
  const { managedFields: _old, ...metadata } = object.metadata;
  return { ...object, metadata: managedFields.length === 0 ? metadata : { ...metadata, managedFields } };
};

/**
 * Begins the record of who wrote what, for server-side apply, where the author named himself a field manager, as kubectl does. What a
 * node's own parts write among themselves is not recorded and costs nothing.
 */
export function trackCreation(request: ResourceRequest, object: KubernetesObject): KubernetesObject {
  const fresh = withEntries(object, []);
  const isNamed = request.query.has("fieldManager") && request.resource.conversion === undefined;
  return isNamed ? record(request, undefined, fresh) : fresh;
}

/** Goes on with the record of an object that has one; a client that rewrote it, as kubectl does to migrate, is believed. */
export function trackChange(
  request: ResourceRequest,
  before: KubernetesObject,
  after: KubernetesObject,
): KubernetesObject {
  const rewritten = after.metadata.managedFields !== undefined && after.metadata.managedFields.length > 0;
  const entries = entriesOf(rewritten ? after : before);
  if (entries.length === 0) return withEntries(after, []);
  return record(request, withEntries(before, entries), withEntries(after, []));
}
