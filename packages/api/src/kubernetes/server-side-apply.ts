import { TripodError } from "@tripod/base";
import type { ManagedFieldsEntry, ObjectMeta } from "../../gen/kubernetes/types.ts";
import { FieldSet } from "./field-set.ts";
import { isObject } from "./own-property.ts";
import type { MessageSchema } from "./schema.ts";
import { compareValues, fieldsOf, mergeValues, pruneValue, rootPlace } from "./typed-value.ts";

type Json = Record<string, unknown>;

/** Fields that say which object it is, or that the server alone writes; nobody owns them. */
const unowned: readonly (readonly string[])[] = [
  ["f:apiVersion"],
  ["f:kind"],
  ...[
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "selfLink",
    "generation",
    "managedFields",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
  ].map((name) => ["f:metadata", `f:${name}`]),
];
/** Update entries beyond these many are folded into one. */
const mostUpdaters = 10;
const foldedManager = "ancient-changes";
/** Owner of what was there before anybody applied. */
const firstManager = "before-first-apply";

export interface ManagerIdentity {
  /** The fieldManager of the request. */
  readonly manager: string;
  readonly apiVersion: string;
  /** "status", say; undefined for the object itself. */
  readonly subresource?: string;
  /** RFC 3339; when it happens. */
  readonly now: string;
}

/** A field that another manager owns with another value. */
export interface ApplyConflict {
  readonly manager: string;
  readonly apiVersion: string;
  readonly operation: string;
  /** `.spec.replicas` */
  readonly field: string;
}

interface Manager {
  readonly entry: ManagedFieldsEntry;
  fields: FieldSet;
}

const strip = (set: FieldSet): FieldSet => {
  const left = unowned.reduce((each, path) => each.without(path), set);
  left.isMember = false;
  const metadata = left.children.get("f:metadata");
  if (metadata !== undefined) {
    metadata.isMember = false;
    if (metadata.isEmpty) left.children.delete("f:metadata");
  }
  return left;
};

function metadataOf(object: Json): ObjectMeta {
  return isObject(object.metadata) ? (object.metadata as ObjectMeta) : {}; // checked against the schema before
}

const managersOf = (object: Json): Manager[] =>
  (metadataOf(object).managedFields ?? []).map((entry) => ({ entry, fields: FieldSet.parse(entry.fieldsV1) }));

function isSame(entry: ManagedFieldsEntry, operation: "Apply" | "Update", who: ManagerIdentity): boolean {
  return (
    entry.manager === who.manager &&
    entry.operation === operation &&
    (entry.subresource ?? "") === (who.subresource ?? "") &&
    // One manager applies one configuration, whatever version it is written in.
    (operation === "Apply" || entry.apiVersion === who.apiVersion)
  );
}

function withManagers(object: Json, managers: readonly Manager[]): Json {
  const updaters = managers.filter(
    (each) => each.entry.operation === "Update" && (each.entry.subresource ?? "") === "",
  );
  const folded =
    updaters.length > mostUpdaters ? fold(managers, updaters.slice(0, updaters.length - mostUpdaters + 1)) : managers;
  const managedFields = folded
    .filter((each) => !each.fields.isEmpty)
    .map((each): ManagedFieldsEntry => ({ ...each.entry, fieldsType: "FieldsV1", fieldsV1: each.fields.toFieldsV1() }));
  const { managedFields: _, ...metadata } = metadataOf(object);
  return { ...object, metadata: managedFields.length === 0 ? metadata : { ...metadata, managedFields } };
}

function fold(managers: readonly Manager[], old: readonly Manager[]): Manager[] {
  const fields = old.reduce((sum, each) => sum.union(each.fields), new FieldSet());
  const [oldest] = old;
  const entry: ManagedFieldsEntry = { ...oldest?.entry, manager: foldedManager };
  return [{ entry, fields }, ...managers.filter((each) => !old.includes(each))];
}

/** The entry with new fields, its time moved on if they changed. */
function renewed(
  entry: ManagedFieldsEntry | undefined,
  operation: "Apply" | "Update",
  who: ManagerIdentity,
  before: FieldSet,
  fields: FieldSet,
): Manager {
  const same = before.difference(fields).isEmpty && fields.difference(before).isEmpty;
  const time = same && entry?.time !== undefined ? entry.time : who.now;
  const { manager, apiVersion, subresource } = who;
  return {
    entry: { manager, operation, apiVersion, time, ...(subresource === undefined ? {} : { subresource }) },
    fields,
  };
}

/**
 * Records who changed what when an object is created (`before` undefined), updated or patched: the manager takes over what it changed,
 * and nobody owns what is gone. Returns `after` with metadata.managedFields.
 */
export function trackUpdate(schema: MessageSchema, before: Json | undefined, after: Json, who: ManagerIdentity): Json {
  const place = rootPlace(schema);
  const compared = compareValues(place, before ?? {}, after);
  const [changed, removed] = [strip(compared.changed), strip(compared.removed)];
  const managers = managersOf(before ?? {});
  const own = managers.find((each) => isSame(each.entry, "Update", who));
  const others = managers
    .filter((each) => each !== own)
    .map((each) => ({ ...each, fields: each.fields.difference(changed).difference(removed) }));
  const old = own?.fields ?? new FieldSet();
  const fields = old.union(changed).difference(removed);
  return withManagers(after, [...others, renewed(own?.entry, "Update", who, old, fields)]);
}

export interface ApplyOptions {
  readonly who: ManagerIdentity;
  /** Take fields that others own over instead of failing. */
  readonly force: boolean;
}

/**
 * Server-side apply: `live` with what `config` sets and without what this manager applied before and does not any more. Throws
 * "conflict", with the conflicts in the error's detail, when others own what would change. Metadata.managedFields says the new owners.
 */
export function applyConfiguration(
  schema: MessageSchema,
  live: Json | undefined,
  config: Json,
  options: ApplyOptions,
): Json {
  const { who, force } = options;
  const place = rootPlace(schema);
  const { managedFields: given, ...givenMetadata } = metadataOf(config);
  if (given !== undefined && given.length > 0) throw new TripodError("invalid", "metadata.managedFields must be nil");
  const wanted: Json = { ...config, metadata: givenMetadata };
  const base = live ?? {};
  const managers = managersOf(base);
  if (live !== undefined && managers.length === 0) {
    const entry = { manager: firstManager, operation: "Update", apiVersion: who.apiVersion, time: who.now } as const;
    managers.push({ entry, fields: strip(fieldsOf(place, live)) });
  }
  const own = managers.find((each) => isSame(each.entry, "Apply", who));
  const others = managers.filter((each) => each !== own);
  const fields = strip(fieldsOf(place, wanted));
  const old = own?.fields ?? new FieldSet();
  const kept = others.reduce((sum, each) => sum.union(each.fields), fields);
  const merged = mergeValues(place, base, wanted);
  const pruned = pruneValue(place, merged, old.difference(fields), kept);
  const result: Json = isObject(pruned) ? pruned : {};
  const compared = compareValues(place, base, result);
  const [changed, removed] = [strip(compared.changed), strip(compared.removed)];
  const conflicts = others.flatMap(({ entry, fields: theirs }): ApplyConflict[] =>
    [...theirs.intersection(changed).paths()].map((field) => ({
      manager: entry.manager ?? "",
      apiVersion: entry.apiVersion ?? "",
      operation: entry.operation ?? "",
      field,
    })),
  );
  if (conflicts.length > 0 && !force) throw conflictError(conflicts);
  const left = others.map((each) => ({ ...each, fields: each.fields.difference(changed).difference(removed) }));
  return withManagers(result, [renewed(own?.entry, "Apply", who, old, fields), ...left]);
}

function conflictError(conflicts: readonly ApplyConflict[]): TripodError {
  const groups = new Map<string, string[]>();
  for (const { manager, apiVersion, operation, field } of conflicts) {
    const key = `${JSON.stringify(manager)}${operation === "Update" ? ` using ${apiVersion}` : ""}`;
    groups.set(key, [...(groups.get(key) ?? []), field]);
  }
  const lines = [...groups].map(([who, fields]) =>
    fields.length === 1 ? `conflict with ${who}: ${fields[0]}` : `conflicts with ${who}:\n- ${fields.join("\n- ")}`,
  );
  const count = conflicts.length === 1 ? "1 conflict" : `${conflicts.length} conflicts`;
  return new TripodError("conflict", `Apply failed with ${count}: ${lines.join("\n")}`, { detail: { conflicts } });
}
