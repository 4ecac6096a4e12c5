import { isDeepStrictEqual } from "node:util";
import { TripodError } from "@tripod/base";
import { getOwn, isObject, setOwn } from "./own-property.ts";
import { type FieldSchema, type MessageSchema, messageSchema } from "./schema.ts";

const directive = "$patch";
const retainKeys = "$retainKeys";
const deletePrefix = "$deleteFromPrimitiveList/";
const orderPrefix = "$setElementOrder/";

const invalid = (message: string): TripodError => new TripodError("invalid", `strategic merge patch: ${message}`);

type Json = Record<string, unknown>;

/**
 * Applies a strategic merge patch: as a merge patch, but lists whose schema says so merge by their merge key, and the directives
 * $patch (replace, delete, merge), $deleteFromPrimitiveList/FIELD, $setElementOrder/FIELD and $retainKeys are obeyed. Neither
 * argument is changed. Throws "invalid" for directives that make no sense.
 */
export function strategicMergePatch(schema: MessageSchema | undefined, original: unknown, patch: unknown): Json {
  if (!isObject(patch)) throw invalid("the patch is no object");
  return mergeObject(isObject(original) ? original : {}, patch, schema);
}

const subSchema = (field: FieldSchema | undefined): MessageSchema | undefined => {
  const type = field?.type;
  const of = type?.kind === "list" || type?.kind === "map" ? type.of : type;
  return of?.kind === "message" ? messageSchema(of.name) : undefined;
};

function mergeObject(original: Json, patch: Json, schema: MessageSchema | undefined): Json {
  const action = patch[directive];
  if (action === "replace") return withoutDirectives(omit(patch, directive));
  if (action === "delete") return {};
  if (action !== undefined && action !== "merge")
    throw invalid(`${directive} is ${JSON.stringify(action)}; it may be replace, delete or merge`);
  const result: Json = {};
  const kept = patch[retainKeys];
  if (kept !== undefined && !Array.isArray(kept)) throw invalid(`${retainKeys} is no list`);
  for (const key of Object.keys(original))
    if (kept === undefined || kept.includes(key)) setOwn(result, key, getOwn(original, key));

  const ordered = new Set<string>();
  for (const key of Object.keys(patch)) {
    if (!key.startsWith(orderPrefix)) continue;
    const name = key.slice(orderPrefix.length);
    ordered.add(name);
    setInOrder(result, patch, name, schema?.byName.get(name));
  }
  for (const key of Object.keys(patch)) {
    if (!key.startsWith(deletePrefix)) continue;
    const name = key.slice(deletePrefix.length);
    const gone = getOwn(patch, key);
    const present = getOwn(result, name);
    if (!Array.isArray(gone)) throw invalid(`${key} is no list`);
    if (Array.isArray(present))
      setOwn(
        result,
        name,
        present.filter((item) => !gone.includes(item)),
      );
  }
  for (const key of Object.keys(patch)) {
    if ((key.startsWith("$") && (key === directive || key === retainKeys || key.includes("/"))) || ordered.has(key))
      continue;
    const value = getOwn(patch, key);
    if (Array.isArray(kept) && value !== null && !kept.includes(key))
      throw invalid(`${key} is set, but not among ${retainKeys}`);
    if (value === null) delete result[key];
    else setOwn(result, key, mergeValue(getOwn(result, key), value, schema?.byName.get(key)));
  }
  return result;
}

function mergeValue(original: unknown, patch: unknown, field: FieldSchema | undefined): unknown {
  const replace = field?.patchStrategies.includes("replace") === true;
  if (isObject(patch)) {
    if (replace || !isObject(original)) return mergeObject({}, patch, subSchema(field));
    // The keys of a map are no fields: the values' schema is met one level down, which no map of messages needs today.
    return mergeObject(original, patch, field?.type.kind === "message" ? subSchema(field) : undefined);
  }
  if (Array.isArray(patch)) {
    if (field?.patchStrategies.includes("merge") === true && Array.isArray(original))
      return mergeList(original, patch, field);
    return withoutListDirectives(patch);
  }
  return patch;
}

/** A list with a `$setElementOrder` beside it: merged, then put into that order, the server's own elements kept where they were. */
function setInOrder(result: Json, patch: Json, name: string, field: FieldSchema | undefined): void {
  const order = patch[`${orderPrefix}${name}`];
  if (!Array.isArray(order)) throw invalid(`${orderPrefix}${name} is no list`);
  const original = getOwn(result, name);
  const change = getOwn(patch, name);
  if (change === null) {
    delete result[name];
    return;
  }
  const before = Array.isArray(original) ? original : [];
  const gone = patch[`${deletePrefix}${name}`];
  let merged: unknown[];
  if (!Array.isArray(change)) {
    if (!Array.isArray(original)) return;
    merged = original;
  } else
    merged =
      Array.isArray(original) && field !== undefined
        ? mergeList(original, change, field)
        : withoutListDirectives(change);
  if (Array.isArray(gone)) merged = merged.filter((item) => !gone.includes(item));
  setOwn(result, name, arrange(merged, order, before, field?.patchMergeKey));
}

function keyIn(item: unknown, mergeKey: string | undefined): unknown {
  if (!isObject(item)) return item;
  return mergeKey === undefined ? item : getOwn(item, mergeKey);
}

const indexIn = (list: readonly unknown[], item: unknown, mergeKey: string | undefined): number => {
  const key = keyIn(item, mergeKey);
  return list.findIndex((candidate) => isDeepStrictEqual(keyIn(candidate, mergeKey), key));
};

/** Elements named by `order` in its order, the rest in the order of `server`, woven so that neither order is broken. */
function arrange(
  merged: readonly unknown[],
  order: readonly unknown[],
  server: readonly unknown[],
  mergeKey: string | undefined,
): unknown[] {
  const at = (list: readonly unknown[]) => new Map(merged.map((item) => [item, indexIn(list, item, mergeKey)]));
  const inOrder = at(order);
  const inServer = at(server);
  const rank = (map: Map<unknown, number>) => (a: unknown, b: unknown) => (map.get(a) ?? -1) - (map.get(b) ?? -1);
  const named = merged.filter((item) => (inOrder.get(item) ?? -1) >= 0).sort(rank(inOrder));
  const others = merged.filter((item) => (inOrder.get(item) ?? -1) < 0).sort(rank(inServer));
  const woven: unknown[] = [];
  while (named.length > 0 && others.length > 0) {
    const [left, right] = [inServer.get(others[0]) ?? -1, inServer.get(named[0]) ?? -1];
    woven.push(left >= 0 && right >= 0 && left < right ? others.shift() : named.shift());
  }
  return [...woven, ...others, ...named];
}

function mergeList(original: readonly unknown[], patch: readonly unknown[], field: FieldSchema): unknown[] {
  if (![...original, ...patch].some(isObject)) {
    const both = [...new Set([...original, ...patch])];
    return arrange(both, patch, original, undefined);
  }
  const mergeKey = field.patchMergeKey;
  if (mergeKey === undefined) throw invalid(`the list ${field.name} has no merge key`);
  const schema = subSchema(field);
  let result = [...original];
  let replaced = false;
  const additions: Json[] = [];
  for (const item of patch) {
    if (!isObject(item)) throw invalid(`an element of ${field.name} is no object`);
    const action = item[directive];
    if (action === "replace") replaced = true;
    else if (action === "delete") {
      if (!Object.hasOwn(item, mergeKey)) throw invalid(`an element to delete from ${field.name} has no ${mergeKey}`);
      result = result.filter((candidate) => !isDeepStrictEqual(keyIn(candidate, mergeKey), item[mergeKey]));
    } else if (action !== undefined && action !== "merge")
      throw invalid(`${directive} is ${JSON.stringify(action)} in ${field.name}`);
    else additions.push(item);
  }
  if (replaced) return additions.map((item) => withoutDirectives(item));
  for (const item of additions) {
    if (!Object.hasOwn(item, mergeKey))
      throw invalid(`an element of ${field.name} does not contain its merge key ${mergeKey}`);
    const index = indexIn(result, item, mergeKey);
    const present = result[index];
    if (index < 0) result.push(mergeObject({}, item, schema));
    else result[index] = mergeObject(isObject(present) ? present : {}, item, schema);
  }
  return arrange(result, additions, original, mergeKey);
}

function omit(object: Json, key: string): Json {
  const { [key]: _, ...rest } = object;
  return rest;
}

/** New content may carry directives that have nothing to work on; they are not kept. */
function withoutDirectives(object: Json): Json {
  return mergeObject({}, omit(object, directive), undefined);
}

const withoutListDirectives = (list: readonly unknown[]): unknown[] =>
  list
    .filter((item) => !(isObject(item) && (item[directive] === "delete" || item[directive] === "replace")))
    .map((item) => (isObject(item) ? withoutDirectives(item) : item));
