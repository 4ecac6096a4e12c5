import { isLabelValue, isQualifiedName, type ObjectMeta } from "@tripod/api/kubernetes";
import type { FieldErrors } from "./field-errors.ts";
import type { Resource } from "./resource.ts";

const label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const subdomain = `${label}(\\.${label})*`;
const isLabel = new RegExp(`^${label}$`);
const isSubdomain = new RegExp(`^${subdomain}$`);

const labelRule = `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '${label}')`;
const subdomainRule = `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '${subdomain}')`;

/** How the names of a resource are checked: RFC 1123 label (63 characters), or subdomain (253). */
export type NameRule = "label" | "subdomain";

export function checkName(name: string, rule: NameRule, field: string, errors: FieldErrors): void {
  const [pattern, text, longest] =
    rule === "label" ? ([isLabel, labelRule, 63] as const) : ([isSubdomain, subdomainRule, 253] as const);
  if (name.length > longest) errors.invalid(field, name, `must be no more than ${longest} characters`);
  if (!pattern.test(name)) errors.invalid(field, name, text);
}

const qualifiedRule =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const valueRule =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

export function checkLabels(
  labels: Readonly<Record<string, string>> | undefined,
  field: string,
  errors: FieldErrors,
): void {
  for (const [key, value] of Object.entries(labels ?? {})) {
    if (!isQualifiedName(key)) errors.invalid(field, key, qualifiedRule);
    if (!isLabelValue(value)) errors.invalid(field, value, valueRule);
  }
}

/** All annotations of an object together, in bytes. */
const annotationsLimit = 256 * 1024;

/** Checks the metadata that every object has. */
export function checkMetadata(
  metadata: ObjectMeta,
  resource: Pick<Resource, "nameRule" | "namespaced">,
  errors: FieldErrors,
): void {
  const { nameRule: rule, namespaced } = resource;
  if (metadata.name === undefined || metadata.name === "")
    errors.required("metadata.name", "name or generateName is required");
  else checkName(metadata.name, rule, "metadata.name", errors);
  if (namespaced && !metadata.namespace) errors.required("metadata.namespace");
  if (!namespaced && metadata.namespace) errors.forbidden("metadata.namespace", "not allowed on this type");
  checkLabels(metadata.labels, "metadata.labels", errors);
  let size = 0;
  for (const [key, value] of Object.entries(metadata.annotations ?? {})) {
    if (!isQualifiedName(key.toLowerCase())) errors.invalid("metadata.annotations", key, qualifiedRule);
    size += key.length + value.length;
  }
  if (size > annotationsLimit) errors.tooLong("metadata.annotations", annotationsLimit);
  for (const [index, name] of (metadata.finalizers ?? []).entries()) {
    if (!isQualifiedName(name)) errors.invalid(`metadata.finalizers[${index}]`, name, qualifiedRule);
  }
}

/** Letters and digits that spell no word and are not mistaken for one another. */
const suffixAlphabet = "bcdfghjklmnpqrstvwxz2456789";

/** A name that begins with `prefix` (shortened to leave room) and ends in five random characters. */
export function generatedName(prefix: string): string {
  const bytes = crypto.getRandomValues(new Uint8Array(5));
  return prefix.slice(0, 58) + Array.from(bytes, (byte) => suffixAlphabet[byte % suffixAlphabet.length]).join("");
}
