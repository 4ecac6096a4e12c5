import { messageOf, TripodError } from "@tripod/base";
import { formatDuration, parseDuration } from "./duration.ts";
import { getOwn, isObject, setOwn } from "./own-property.ts";
import { canonicalQuantity } from "./quantity.ts";
import { type FieldSchema, type MessageSchema, requireMessage, type ScalarName, type TypeSchema } from "./schema.ts";
import { formatMicroTime, formatTime, parseTime } from "./time.ts";

/** How many unknown fields are reported at most. */
const mostReported = 100;

export interface DecodedObject {
  /** A new object with the known fields alone, its quantities, times and durations in canonical form, zero values left out. */
  readonly object: Record<string, unknown>;
  /** Paths such as "spec.containers[0].foo", at most 100. */
  readonly unknownFields: readonly string[];
}

/**
 * Checks a JSON value against a schema. Throws "invalid" with the field's path for a value of the wrong type or form; unknown
 * fields are reported and dropped.
 */
export function decodeObject(schema: MessageSchema, value: unknown): DecodedObject {
  const unknownFields: string[] = [];
  const object = decodeMessage(schema, value, "", unknownFields);
  return { object, unknownFields };
}

const kindOf = (value: unknown): string =>
  value === null ? "null" : Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;

function mistyped(value: unknown, path: string, type: string): TripodError {
  const shown = typeof value === "number" ? `number ${value}` : kindOf(value);
  const field = path === "" ? "the object" : `field ${path}`;
  return new TripodError("invalid", `json: cannot unmarshal ${shown} into ${field} of type ${type}`, {
    detail: { field: path },
  });
}

function decodeMessage(
  schema: MessageSchema,
  value: unknown,
  path: string,
  unknown: string[],
): Record<string, unknown> {
  if (value === null) return {};
  if (!isObject(value)) throw mistyped(value, path, schema.name);
  const result: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const at = path === "" ? key : `${path}.${key}`;
    const field = schema.byName.get(key);
    if (field === undefined) {
      if (unknown.length < mostReported) unknown.push(at);
      continue;
    }
    const decoded = decodeField(field, getOwn(value, key), at, unknown);
    if (decoded !== undefined) result[key] = decoded;
  }
  return result;
}

/** undefined: the value is the field's zero value, which is not kept. */
function decodeField(field: FieldSchema, value: unknown, path: string, unknown: string[]): unknown {
  if (value === null) return undefined;
  const decoded = decodeValue(field.type, value, path, unknown);
  return field.omitEmpty && isZero(field, decoded) ? undefined : decoded;
}

/** Whether Go's JSON leaves such a value out of a field marked omitempty. */
export function isZero(field: FieldSchema, value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (field.type.kind === "map") return isObject(value) && Object.keys(value).length === 0;
  if (field.type.kind === "message" || field.pointer) return false;
  return value === "" || value === 0 || value === false;
}

function decodeValue(type: TypeSchema, value: unknown, path: string, unknown: string[]): unknown {
  switch (type.kind) {
    case "message":
      return decodeMessage(requireMessage(type.name), value, path, unknown);
    case "enum":
      if (value === null) return "";
      if (typeof value !== "string") throw mistyped(value, path, type.name);
      return value;
    case "list":
      if (!Array.isArray(value)) throw mistyped(value, path, "list");
      return value.map((item, index) => decodeValue(type.of, item, `${path}[${index}]`, unknown));
    case "map": {
      if (!isObject(value)) throw mistyped(value, path, "map");
      const result: Record<string, unknown> = {};
      for (const key of Object.keys(value))
        setOwn(result, key, decodeValue(type.of, getOwn(value, key), `${path}.${key}`, unknown));
      return result;
    }
    case "scalar":
      return decodeScalar(type.name, value, path);
  }
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const zeroOf: Readonly<Partial<Record<ScalarName, unknown>>> = {
  bool: false,
  int32: 0,
  int64: 0,
  double: 0,
  quantity: "0",
};

function decodeScalar(name: ScalarName, value: unknown, path: string): unknown {
  if (name === "any" || name === "raw") return value;
  if (value === null) return name in zeroOf ? zeroOf[name] : "";
  switch (name) {
    case "string":
      if (typeof value !== "string") throw mistyped(value, path, "string");
      return value;
    case "bool":
      if (typeof value !== "boolean") throw mistyped(value, path, "bool");
      return value;
    case "double":
      if (typeof value !== "number") throw mistyped(value, path, "float64");
      return value;
    case "int32":
      if (!Number.isInteger(value) || Math.abs(Number(value) + 0.5) > 2 ** 31) throw mistyped(value, path, "int32");
      return value;
    case "int64":
      if (!Number.isInteger(value) || Math.abs(Number(value)) > 2 ** 63) throw mistyped(value, path, "int64");
      return value;
    case "intorstring":
      if (typeof value === "string") return value;
      if (!Number.isInteger(value) || Math.abs(Number(value) + 0.5) > 2 ** 31)
        throw mistyped(value, path, "int or string");
      return value;
    case "bytes": {
      if (typeof value !== "string") throw mistyped(value, path, "base64 text");
      const compact = value.replace(/[\r\n]/g, "");
      if (!base64.test(compact))
        throw new TripodError("invalid", `${path}: illegal base64 data`, { detail: { field: path } });
      return compact;
    }
    case "fieldsv1":
      if (!isObject(value)) throw mistyped(value, path, "FieldsV1");
      return value;
    case "quantity":
      if (typeof value !== "string" && typeof value !== "number") throw mistyped(value, path, "quantity");
      return at(path, () => canonicalQuantity(value));
    case "time":
    case "microtime":
    case "duration":
      if (typeof value !== "string") throw mistyped(value, path, name);
      if (name === "duration") return at(path, () => formatDuration(parseDuration(value)));
      return at(path, () => (name === "time" ? formatTime : formatMicroTime)(parseTime(value)));
  }
}

function at<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new TripodError("invalid", `${path}: ${messageOf(cause)}`, { cause, detail: { field: path } });
  }
}

/** What a strict client is told: `strict decoding error: unknown field "spec.foo", duplicate field "spec.bar"`. */
export const strictDecodingError = (unknownFields: readonly string[], duplicateFields: readonly string[]): string =>
  `strict decoding error: ${fieldWarnings(unknownFields, duplicateFields).join(", ")}`;

/** One text a field, as the Warning headers of fieldValidation=Warn carry them. */
export const fieldWarnings = (unknownFields: readonly string[], duplicateFields: readonly string[]): string[] => [
  ...duplicateFields.map((path) => `duplicate field ${JSON.stringify(path)}`),
  ...unknownFields.map((path) => `unknown field ${JSON.stringify(path)}`),
];
