import { isDeepStrictEqual } from "node:util";
import { TripodError } from "@tripod/base";
import { FieldSet } from "./field-set.ts";
import { getOwn, isObject, setOwn } from "./own-property.ts";
import { type FieldSchema, type MessageSchema, requireMessage, type TypeSchema } from "./schema.ts";

/** What the schema says of a place in an object, as far as ownership goes. */
export interface Place {
  readonly type: TypeSchema;
  readonly listType?: string | undefined;
  readonly listMapKeys?: readonly string[];
  /** Owned as one. */
  readonly atomic?: boolean;
  readonly pointer?: boolean;
  readonly omitEmpty?: boolean;
}

/** Upstream's typed objects always have such a field, if only with nothing in it, so nobody owns its mere presence. */
const isAlwaysThere = ({ type, pointer, omitEmpty }: Place): boolean =>
  pointer === false &&
  (type.kind === "message" || (omitEmpty === false && (type.kind === "list" || type.kind === "map")));

const placeOf = (field: FieldSchema): Place => field;

/** The place of a whole object. */
export const rootPlace = (schema: MessageSchema): Place => ({ type: { kind: "message", name: schema.name } });

interface Entry {
  /** "f:NAME", "k:{…}" or "v:…". */
  readonly element: string;
  /** Its key in an object; undefined in lists. */
  readonly key: string | undefined;
  readonly place: Place;
  readonly value: unknown;
}

/** The parts of a value that are owned one by one; undefined for what is owned as one. */
function partsOf(place: Place, value: unknown): Entry[] | undefined {
  const { type } = place;
  if (place.atomic === true) return undefined;
  if (type.kind === "message" && isObject(value)) {
    const schema = requireMessage(type.name);
    if (schema.atomic) return undefined;
    return Object.keys(value).map((key) => {
      const field = schema.byName.get(key);
      const inner: Place = field === undefined ? { type: { kind: "scalar", name: "any" } } : placeOf(field);
      return { element: `f:${key}`, key, place: inner, value: getOwn(value, key) };
    });
  }
  if (type.kind === "map" && isObject(value))
    return Object.keys(value).map((key) => ({
      element: `f:${key}`,
      key,
      place: { type: type.of },
      value: getOwn(value, key),
    }));
  if (type.kind !== "list" || !Array.isArray(value)) return undefined;
  const inner: Place = { type: type.of };
  if (place.listType === "set")
    return value.map((item) => ({ element: `v:${JSON.stringify(item)}`, key: undefined, place: inner, value: item }));
  if (place.listType !== "map") return undefined;
  return value.map((item) => ({ element: listKey(place, item), key: undefined, place: inner, value: item }));
}

function listKey(place: Place, item: unknown): string {
  const keys: Record<string, unknown> = {};
  const schema =
    place.type.kind === "list" && place.type.of.kind === "message" ? requireMessage(place.type.of.name) : undefined;
  for (const name of [...(place.listMapKeys ?? [])].sort()) {
    const value = (isObject(item) ? getOwn(item, name) : undefined) ?? schema?.byName.get(name)?.fallback;
    // A key that may be absent is not part of the element's name then.
    if (value !== undefined) keys[name] = value;
  }
  if (Object.keys(keys).length === 0)
    throw new TripodError(
      "invalid",
      `an element of a list has none of its keys ${(place.listMapKeys ?? []).join(", ")}`,
    );
  return `k:${JSON.stringify(keys)}`;
}

const isListPart = (entry: Entry): boolean => entry.element.startsWith("k:");

/** The fields that a value sets, as an apply configuration's author owns them. */
export function fieldsOf(place: Place, value: unknown): FieldSet {
  const parts = partsOf(place, value);
  if (parts === undefined || parts.length === 0) return new FieldSet(true);
  const set = new FieldSet();
  for (const part of parts) {
    const child = fieldsOf(part.place, part.value);
    if (isListPart(part)) child.isMember = true;
    set.children.set(part.element, child);
  }
  return set;
}

/** Every node of a value, containers too: what appears with it and goes with it. */
function wholeOf(place: Place, value: unknown): FieldSet {
  const parts = partsOf(place, value);
  const set = new FieldSet(parts === undefined || !isAlwaysThere(place));
  for (const part of parts ?? []) {
    const child = wholeOf(part.place, part.value);
    if (!child.isEmpty) set.children.set(part.element, child);
  }
  return set;
}

/** What differs between two values: `changed` is new or has another value, `removed` is gone. */
export function compareValues(place: Place, before: unknown, after: unknown): { changed: FieldSet; removed: FieldSet } {
  const [old, now] = [partsOf(place, before), partsOf(place, after)];
  if (old === undefined || now === undefined) {
    const same = isDeepStrictEqual(before, after);
    return { changed: same ? new FieldSet() : wholeOf(place, after), removed: new FieldSet() };
  }
  const changed = new FieldSet();
  const removed = new FieldSet();
  const known = new Map(old.map((part) => [part.element, part]));
  for (const part of now) {
    const previous = known.get(part.element);
    known.delete(part.element);
    if (previous === undefined) {
      const whole = wholeOf(part.place, part.value);
      if (!whole.isEmpty) changed.children.set(part.element, whole);
      continue;
    }
    const inner = compareValues(part.place, previous.value, part.value);
    if (!inner.changed.isEmpty) changed.children.set(part.element, inner.changed);
    if (!inner.removed.isEmpty) removed.children.set(part.element, inner.removed);
  }
  for (const part of known.values()) removed.children.set(part.element, wholeOf(part.place, part.value));
  return { changed, removed };
}

/** `live` with everything that `config` sets; lists keep their order, new elements come last. */
export function mergeValues(place: Place, live: unknown, config: unknown): unknown {
  const [old, wanted] = [partsOf(place, live), partsOf(place, config)];
  if (old === undefined || wanted === undefined) return structuredClone(config);
  const byElement = new Map(wanted.map((part) => [part.element, part]));
  const merged: Entry[] = old.map((part) => {
    const change = byElement.get(part.element);
    byElement.delete(part.element);
    return change === undefined ? part : { ...part, value: mergeValues(part.place, part.value, change.value) };
  });
  return assemble(live, [...merged, ...byElement.values()]);
}

/** `value` without the elements of `gone`, unless they hold something of `kept`. */
export function pruneValue(place: Place, value: unknown, gone: FieldSet, kept: FieldSet): unknown {
  const parts = partsOf(place, value);
  if (parts === undefined) return value;
  const left: Entry[] = [];
  for (const part of parts) {
    const drop = gone.child(part.element);
    if (drop === undefined) {
      left.push(part);
      continue;
    }
    const keep = kept.child(part.element) ?? new FieldSet();
    const pruned = pruneValue(part.place, part.value, drop, keep);
    const isBare = (partsOf(part.place, pruned) ?? [pruned]).length === 0;
    const isOwned = !keep.isEmpty;
    if (!isOwned && (drop.isMember || isBare)) continue;
    left.push({ ...part, value: pruned });
  }
  return assemble(value, left);
}

function assemble(like: unknown, parts: readonly Entry[]): unknown {
  if (Array.isArray(like)) return parts.map((part) => part.value);
  const result: Record<string, unknown> = {};
  for (const part of parts) if (part.key !== undefined) setOwn(result, part.key, part.value);
  return result;
}
