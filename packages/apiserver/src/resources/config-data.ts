import { isDeepStrictEqual } from "node:util";
import type { FieldErrors } from "../registry/field-errors.ts";

/** All data of a ConfigMap or a Secret together, in bytes. */
const dataLimit = 1024 * 1024;
const keyPattern = /^[-._a-zA-Z0-9]+$/;
const keyRule =
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

type Texts = Readonly<Record<string, string>> | undefined;

const base64Size = (text: string): number => Buffer.byteLength(text, "base64");

export const entryCount = (...maps: (object | undefined)[]): number =>
  maps.reduce<number>((sum, map) => sum + Object.keys(map ?? {}).length, 0);

function checkKeys(field: string, data: Texts, errors: FieldErrors): void {
  for (const key of Object.keys(data ?? {})) {
    if (key.length > 253) errors.invalid(`${field}[${key}]`, key, "must be no more than 253 characters");
    if (!keyPattern.test(key)) errors.invalid(`${field}[${key}]`, key, keyRule);
    else if (key === "." || key === "..") errors.invalid(`${field}[${key}]`, key, `must not be '${key}'`);
    else if (key.startsWith("..")) errors.invalid(`${field}[${key}]`, key, "must not start with '..'");
  }
}

/** Checks keys and size of `data` (texts, or base64 where `isBase64`) together with `binaryData`. */
export function checkConfigData(
  object: { readonly data?: Texts; readonly binaryData?: Texts },
  errors: FieldErrors,
  options: { readonly isBase64: boolean; readonly sizeField: string },
): void {
  checkKeys("data", object.data, errors);
  checkKeys("binaryData", object.binaryData, errors);
  let size = 0;
  for (const [key, text] of Object.entries(object.data ?? {})) {
    size += options.isBase64 ? base64Size(text) : Buffer.byteLength(text);
    if (object.binaryData !== undefined && Object.hasOwn(object.binaryData, key))
      errors.invalid(`data[${key}]`, key, "duplicate of key present in binaryData");
  }
  for (const text of Object.values(object.binaryData ?? {})) size += base64Size(text);
  if (size > dataLimit) errors.tooLong(options.sizeField, dataLimit);
}

interface Freezable {
  readonly immutable?: boolean;
  readonly data?: Texts;
  readonly binaryData?: Texts;
}

/** What was once marked immutable stays as it is. */
export function checkImmutable(object: Freezable, old: Freezable, errors: FieldErrors): void {
  if (old.immutable !== true) return;
  const frozen = "field is immutable when `immutable` is set";
  if (object.immutable !== true) errors.forbidden("immutable", frozen);
  for (const field of ["data", "binaryData"] as const)
    if (!isDeepStrictEqual(object[field] ?? {}, old[field] ?? {})) errors.forbidden(field, frozen);
}
