import type { ObjectMeta, TypeMeta } from "../../gen/kubernetes/types.ts";

/** Anything with a name, a kind and metadata: the shape that every stored object has. */
export interface KubernetesObject extends TypeMeta {
  metadata: ObjectMeta;
}

/** An object as a server returns it: what the server fills in on creation is there. */
export type Stored<T extends KubernetesObject> = T & {
  metadata: ObjectMeta & { name: string; uid: string; resourceVersion: string; creationTimestamp: string };
};

/** A kind in a group ("" is core) and version. */
export interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** "v1" for core, "apps/v1" for a named group. */
export const apiVersionOf = (gv: { readonly group: string; readonly version: string }): string =>
  gv.group === "" ? gv.version : `${gv.group}/${gv.version}`;

/** The group and version that an apiVersion names. */
export function parseApiVersion(apiVersion: string): { group: string; version: string } {
  const slash = apiVersion.indexOf("/");
  return slash < 0
    ? { group: "", version: apiVersion }
    : { group: apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}

/** "namespace/name", or "name" for what has no namespace: the key of caches and work queues. */
export function keyOf(object: { readonly metadata: ObjectMeta }): string {
  const { namespace, name = "" } = object.metadata;
  return namespace === undefined || namespace === "" ? name : `${namespace}/${name}`;
}
