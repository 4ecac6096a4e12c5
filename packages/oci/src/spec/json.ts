import { TripodError } from "@tripod/base";

const wrong = (where: string, wanted: string): TripodError => new TripodError("invalid", `${where}: must be ${wanted}`);

/** Parses JSON from outside; `where` names the document in the error. */
export function parseJson(bytes: Uint8Array | string, where: string): unknown {
  try {
    const text = typeof bytes === "string" ? bytes : new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return JSON.parse(text);
  } catch (cause) {
    throw new TripodError("invalid", `${where}: not valid JSON`, { cause });
  }
}

export function objectAt(value: unknown, where: string): Record<string, unknown> {
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw wrong(where, "an object");
  return value as Record<string, unknown>; // checked on the line above
}

export function stringAt(value: unknown, where: string): string {
  if (typeof value !== "string") throw wrong(where, "a string");
  return value;
}

/** Null counts as absent: Go writers emit it for empty values. */
export function optionalStringAt(value: unknown, where: string): string | undefined {
  return value == null ? undefined : stringAt(value, where);
}

export function arrayAt(value: unknown, where: string, limit = 10_000): readonly unknown[] {
  if (value == null) return [];
  if (!Array.isArray(value)) throw wrong(where, "an array");
  if (value.length > limit) throw wrong(where, `an array of at most ${limit} items`);
  return value;
}

export const stringsAt = (value: unknown, where: string): string[] =>
  arrayAt(value, where).map((item, index) => stringAt(item, `${where}[${index}]`));

export function stringMapAt(value: unknown, where: string): Record<string, string> {
  const map: Record<string, string> = {};
  for (const [key, item] of Object.entries(objectAt(value, where))) {
    // A null prototype is not needed: assignment below to "__proto__" of a string is ignored by the language.
    map[key] = stringAt(item, `${where}.${key}`);
  }
  return map;
}
