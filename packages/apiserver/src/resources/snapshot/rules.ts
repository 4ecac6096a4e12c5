import { isDeepStrictEqual } from "node:util";
import type { FieldErrors } from "../../registry/field-errors.ts";

/** What every resource here shares: upstream defines each by a custom resource definition. */
export const customResource = { nameRule: "subdomain", hasGeneration: true, custom: true } as const;

const deletionPolicies = ["Delete", "Retain"];

type Fields = Readonly<Record<string, unknown>>;

export function checkDeletionPolicy(policy: string | undefined, path: string, errors: FieldErrors): void {
  if (policy === undefined) errors.required(path);
  else if (!deletionPolicies.includes(policy)) errors.notSupported(path, policy, deletionPolicies);
}

/** One of the two fields says where something comes from, and only one. */
export function checkOneOf(
  source: object | undefined,
  path: string,
  [one, other]: readonly [one: string, other: string],
  errors: FieldErrors,
): void {
  if (source === undefined) {
    errors.required(path);
    return;
  }
  const given = [one, other].filter((field) => Object.hasOwn(source, field));
  if (given.length !== 1) errors.invalid(path, source, `exactly one of ${one} and ${other} must be set`);
}

/** Fields that stay as they were once they are there. */
export function checkKept(
  [object, old]: readonly [object: object | undefined, old: object | undefined],
  path: string,
  fields: readonly string[],
  errors: FieldErrors,
): void {
  const [now, before] = [object, old].map((each) => (each ?? {}) as Fields); // the fields are named by those who know the type
  for (const field of fields) {
    const at = path === "" ? field : `${path}.${field}`;
    if (before?.[field] === undefined || isDeepStrictEqual(plain(now?.[field]), plain(before[field]))) continue;
    if (now?.[field] === undefined) errors.invalid(path, object, `${field} is required once set`);
    else errors.invalid(at, now[field], `${field} is immutable`);
  }
}

/** Objects may come out of different parsers: only what they hold counts. */
const plain = (value: unknown): unknown => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));

/** A class's name may be left out, but not empty. */
export function checkClassName(name: string | undefined, field: string, errors: FieldErrors): void {
  if (name === "") errors.invalid(`spec.${field}`, name, `${field} must not be the empty string when set`);
}

/** A content refers to a whole name. */
export function checkReference(
  reference: { readonly name?: string; readonly namespace?: string } | undefined,
  path: string,
  errors: FieldErrors,
): void {
  if (reference === undefined) errors.required(path);
  else if (reference.name === undefined || reference.namespace === undefined)
    errors.invalid(path, reference, `both ${path}.name and ${path}.namespace must be set`);
}
