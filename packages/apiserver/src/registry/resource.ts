import type { GroupVersionKind, KubernetesObject } from "@tripod/api/kubernetes";
import type { Column } from "../table/column.ts";
import type { FieldErrors } from "./field-errors.ts";
import type { NameRule } from "./names.ts";
import type { ObjectStore } from "./object-store.ts";

/** Who asks, as authentication found. */
export interface User {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, string[]>>;
}

/** What a resource may look at beside its object. */
export interface ResourceContext {
  readonly store: ObjectStore;
  readonly user: User;
  /** Adds a Warning header to the reply. */
  warn(text: string): void;
}

export type Verb = "create" | "delete" | "deletecollection" | "get" | "list" | "patch" | "update" | "watch";

const allVerbs: readonly Verb[] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/** A subresource as discovery tells of it; `status` needs none, `hasStatus` says it. */
export interface SubresourceInfo {
  readonly name: string;
  readonly verbs: readonly string[];
  /** The kind of its body, where it is not the resource's own. */
  readonly kind?: GroupVersionKind;
}

/** How long an object may still live after its deletion was asked for. */
export interface GracePeriod {
  /** Seconds that the caller asked for. */
  readonly asked: number | undefined;
}

/**
 * One resource, declared: everything that is its own. The generic verbs do the rest, in this order: create is admitCreate, default,
 * prepareCreate, validate; update is default, prepareUpdate, admitUpdate, validate, validateUpdate. Methods change the object that they are
 * given, and collect what is wrong in `errors` or refuse by throwing an ApiError.
 */
export interface Resource<T extends KubernetesObject = KubernetesObject> {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly namespaced: boolean;
  readonly nameRule: NameRule;
  /** What its keys in the store begin with: plural, with the group unless core, which all versions of a group share; so can two groups. */
  readonly storageName?: string;
  /** All unless told. Reviews, for example, are only created, and `answer` replies instead of the store. */
  readonly verbs?: readonly Verb[];
  /** The status is written through its own subresource alone. */
  readonly hasStatus?: boolean;
  /** metadata.generation counts the changes of the spec. */
  readonly hasGeneration?: boolean;
  /** Upstream serves it by a custom resource definition: it takes JSON and YAML alone, and no strategic merge patch. */
  readonly custom?: true;
  readonly columns: readonly Column<T>[];
  readonly subresources?: readonly SubresourceInfo[];

  /** Fields beside metadata.name and metadata.namespace by which objects can be selected. */
  selectableFields?(object: T): Readonly<Record<string, string>>;
  /** Fills in what may be left out, whenever an object is written. */
  applyDefaults?(object: T): void;
  prepareCreate?(object: T, context: ResourceContext): void;
  prepareUpdate?(object: T, old: T, context: ResourceContext): void;
  prepareStatusUpdate?(object: T, old: T, context: ResourceContext): void;
  /** Looks beyond the object: other objects, the caller. */
  admitCreate?(object: T, context: ResourceContext): Promise<void>;
  admitUpdate?(object: T, old: T, context: ResourceContext): Promise<void>;
  admitDelete?(object: T, context: ResourceContext): Promise<void>;
  validate?(object: T, errors: FieldErrors): void;
  validateUpdate?(object: T, old: T, errors: FieldErrors): void;
  validateStatusUpdate?(object: T, old: T, errors: FieldErrors): void;
  /** Seconds of grace when the object is deleted; it is removed at once unless told. */
  gracePeriodSeconds?(object: T, period: GracePeriod): number;
  /** Holds a deleted object beside metadata.finalizers. */
  isHeld?(object: T): boolean;
  /** When the deletion of an object begins that something holds. */
  markDeleted?(object: T): void;
  /** Makes what belongs to a new object; asked again at every start for each object, so it must be repeatable. */
  afterCreate?(object: T, context: Pick<ResourceContext, "store">): Promise<void>;
  /** Between this version and what the store holds. Neither changes its argument. */
  readonly conversion?: {
    fromStored(object: KubernetesObject): T;
    toStored(object: T): KubernetesObject;
  };
}

/** What names a resource in URLs and messages. */
export type ResourceName = Pick<Resource, "group" | "version" | "kind" | "plural" | "namespaced" | "storageName">;

/** Keeps the type of the objects while declaring; methods of the result take any object of the kind. */
export const defineResource = <T extends KubernetesObject>(resource: Resource<T>): Resource<T> => resource;

/** Verbs of a resource. */
export const verbsOf = (resource: Pick<Resource, "verbs">): readonly Verb[] => resource.verbs ?? allVerbs;

const statusSubresource: SubresourceInfo = { name: "status", verbs: ["get", "patch", "update"] };

/** Subresources of a resource, its status among them. */
export const subresourcesOf = ({ hasStatus, subresources = [] }: Pick<Resource, "hasStatus" | "subresources">) =>
  hasStatus === true ? [statusSubresource, ...subresources] : subresources;

/** "pods", or "storageclasses.storage.k8s.io": how messages name a resource. */
export const qualifiedName = ({ group, plural }: Pick<Resource, "group" | "plural">): string =>
  group === "" ? plural : `${plural}.${group}`;
