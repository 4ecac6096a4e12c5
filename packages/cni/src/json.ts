import { TripodError } from "@tripod/base";

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

/** True for a JSON object: neither null nor a list. */
export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A copy of `object` without the keys whose value is undefined, null, or, for lists and objects, empty. */
export function compact(object: Readonly<Record<string, unknown>>): JsonObject {
  const kept: Record<string, JsonValue> = {};
  for (const [key, value] of Object.entries(object)) {
    if (value === undefined || value === null) continue;
    if (typeof value === "object" && Object.keys(value).length === 0) continue;
    kept[key] = value as JsonValue; // callers give JSON values and undefined alone
  }
  return kept;
}

/**
 * Reads typed fields out of a JSON object; a wrong type is an "invalid" error that names the field. The case of a key does not matter where no
 * key has the exact one: containerd sends port mappings as HostPort and ContainerPort, which Go's decoder takes for hostPort and containerPort.
 */
export class Fields {
  /** The keys that have been asked for, of the objects that somebody watches. */
  static readonly #asked = new WeakMap<JsonObject, Set<string>>();
  readonly object: JsonObject;
  readonly #where: string;

  /** `where` begins every message, such as "bridge configuration". */
  constructor(object: JsonObject, where: string) {
    this.object = object;
    this.#where = where;
  }

  #wrong(key: string, wanted: string): TripodError {
    const found = JSON.stringify(this.#value(key))?.slice(0, 80);
    return new TripodError("invalid", `${this.#where}: "${key}" is ${found}, which is not ${wanted}`);
  }

  /** From now on, which keys of `object` are asked for, in lower case: what else it has, nobody reads. */
  static watch(object: JsonObject): ReadonlySet<string> {
    const asked = new Set<string>();
    Fields.#asked.set(object, asked);
    return asked;
  }

  #value(key: string): JsonValue | undefined {
    Fields.#asked.get(this.object)?.add(key.toLowerCase());
    if (Object.hasOwn(this.object, key)) return this.object[key];
    const folded = key.toLowerCase();
    const found = Object.keys(this.object).find((each) => each.toLowerCase() === folded);
    return found === undefined ? undefined : this.object[found];
  }

  has(key: string): boolean {
    const value = this.#value(key);
    return value !== undefined && value !== null;
  }

  optionalString(key: string): string | undefined {
    if (!this.has(key)) return undefined;
    const value = this.#value(key);
    if (typeof value !== "string") throw this.#wrong(key, "a string");
    return value;
  }

  string(key: string, fallback: string): string {
    return this.optionalString(key) ?? fallback;
  }

  /** An absolute path; an empty one counts as absent. */
  absolutePath(key: string, fallback: string): string {
    const path = this.string(key, "");
    if (path === "") return fallback;
    if (!path.startsWith("/") || path.includes("\0")) throw this.#wrong(key, "an absolute path");
    return path;
  }

  optionalInteger(key: string, min: number, max: number): number | undefined {
    if (!this.has(key)) return undefined;
    const value = this.#value(key);
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max)
      throw this.#wrong(key, `a whole number from ${min} to ${max}`);
    return value;
  }

  /** Also takes the strings "true" and "false", as libcni does. */
  boolean(key: string, fallback: boolean): boolean {
    if (!this.has(key)) return fallback;
    const value = this.#value(key);
    if (typeof value === "boolean") return value;
    const text = typeof value === "string" ? value.toLowerCase() : "";
    if (text === "true") return true;
    if (text === "false") return false;
    throw this.#wrong(key, "true or false");
  }

  /** The object under `key`; an empty one when it is absent. */
  objectAt(key: string): JsonObject {
    if (!this.has(key)) return {};
    const value = this.#value(key);
    if (!isJsonObject(value)) throw this.#wrong(key, "an object");
    return value;
  }

  /** The list under `key`; an empty one when it is absent. */
  list(key: string): readonly JsonValue[] {
    if (!this.has(key)) return [];
    const value = this.#value(key);
    if (!Array.isArray(value)) throw this.#wrong(key, "a list");
    return value as readonly JsonValue[]; // parsed from JSON, so its items are JSON values
  }

  objects(key: string): readonly JsonObject[] {
    const items = this.list(key);
    if (!items.every(isJsonObject)) throw this.#wrong(key, "a list of objects");
    return items;
  }

  strings(key: string): readonly string[] {
    const items = this.list(key);
    if (!items.every((item) => typeof item === "string")) throw this.#wrong(key, "a list of strings");
    return items;
  }
}
