import type { ApiObject } from "./api-object.ts";
import type { FieldErrors } from "./field-errors.ts";
import type { NameRule } from "./names.ts";
import type { ObjectStore } from "./object-store.ts";

/** A column of `kubectl get`; those of priority 1 show with -o wide alone. */
export interface Column {
  readonly name: string;
  readonly type: "string" | "integer" | "date";
  readonly priority?: 1;
  readonly description?: string;
  readonly cell: (object: ApiObject) => unknown;
}

/** Who asks, as authentication found. */
export interface User {
  readonly name: string;
  readonly groups: readonly string[];
}

/** What a strategy may look at beside its object. */
export interface StrategyContext {
  readonly store: ObjectStore;
  readonly user: User;
}

/** A subresource with handlers of its own; what is not named here is refused. */
export interface SubresourceDefinition {
  readonly name: string;
  /** The kind of its body, where it is not the resource's own. */
  readonly kind?: { readonly group: string; readonly version: string; readonly kind: string };
  readonly verbs: readonly string[];
}

/** One resource, declared. The generic verbs do the rest. */
export interface ResourceDefinition {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly namespaced: boolean;
  readonly nameRule: NameRule;
  /** What its keys in the store begin with; two resources that are one in the store share it. */
  readonly storageName: string;
  readonly columns: readonly Column[];
  readonly subresources: readonly SubresourceDefinition[];
  /** A status that updates of the object itself leave alone, and that alone is changed by updates of its status. */
  readonly hasStatus: boolean;
  /** Verbs that are not served; all are unless told. */
  readonly virtual?: "create-only";
  /** The fields beyond metadata.name and metadata.namespace by which it can be selected. */
  readonly selectableFields?: (object: ApiObject) => Readonly<Record<string, string>>;
  /** Fills in what a new object may leave out. */
  readonly prepareCreate?: (object: ApiObject, context: StrategyContext) => void;
  /** Fills in what an update may leave out, and keeps what it may not change. */
  readonly prepareUpdate?: (object: ApiObject, old: ApiObject, context: StrategyContext) => void;
  /** Refuses by throwing, for reasons outside the object. */
  readonly admitCreate?: (object: ApiObject, context: StrategyContext) => void;
  readonly validate?: (object: ApiObject, errors: FieldErrors) => void;
  readonly validateUpdate?: (object: ApiObject, old: ApiObject, errors: FieldErrors) => void;
  /** Seconds of grace when an object is deleted; undefined: it is removed at once. */
  readonly gracePeriodSeconds?: (object: ApiObject, asked: number | undefined) => number | undefined;
  /** Made together with the object; failures are retried by the caller. */
  readonly afterCreate?: (object: ApiObject, context: StrategyContext) => void;
  /** Between this version and what the store holds. */
  readonly fromStored?: (object: ApiObject) => ApiObject;
  readonly toStored?: (object: ApiObject) => ApiObject;
}

/** Seconds since `time`, as kubectl prints ages: 5s, 3m20s, 2h, 5d. */
export function age(time: unknown, now = Date.now()): string {
  if (typeof time !== "string" || time === "") return "<unknown>";
  const seconds = Math.max(0, Math.floor((now - Date.parse(time)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (hours < 192) return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`;
  if (days < 730) return `${days}d`;
  const years = Math.floor(days / 365);
  return days % 365 === 0 || years >= 8 ? `${years}y` : `${years}y${days % 365}d`;
}

export const nameColumn: Column = { name: "Name", type: "string", cell: (object) => object.metadata.name };
export const ageColumn: Column = {
  name: "Age",
  type: "string",
  cell: (object) => age(object.metadata.creationTimestamp),
};
