import {
  apiVersionOf,
  decodeObject,
  decodeProtobuf,
  fieldWarnings,
  findDuplicateFields,
  type GroupVersionKind,
  gvkText,
  type KubernetesObject,
  parseApiVersion,
  protobufContentType,
  schemaOf,
  strictDecodingError,
} from "@tripod/api/kubernetes";
import { messageOf } from "@tripod/base";
import { parse as parseYaml } from "yaml";
import { badRequest, unsupportedMediaType } from "../http/api-error.ts";

/** A request's body and what it says it is. */
export interface Body {
  readonly contentType: string;
  readonly bytes: Buffer;
}

/** A body as plain data. */
export interface ParsedBody {
  readonly value: unknown;
  /** Paths of keys that its text held twice. */
  readonly duplicates: readonly string[];
}

export const mediaTypeOf = (contentType: string): string => contentType.split(";")[0]?.trim().toLowerCase() ?? "";

/** How deep brackets may stand in brackets in YAML; its parser takes a kilobyte a level and more. */
const deepestFlow = 500;

/** Refuses what would cost the parser more memory than any manifest is worth. Brackets in texts are counted as well. */
function checkFlowDepth(text: string): void {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 0x5b || code === 0x7b) depth += 1;
    else if ((code === 0x5d || code === 0x7d) && depth > 0) depth -= 1;
    if (depth > deepestFlow) throw badRequest(`YAML is nested more than ${deepestFlow} deep`);
  }
}

/** JSON is YAML, and what clients mostly send: it is read a hundred times faster as what it is. */
export function parseYamlText(text: string): unknown {
  if (/^\s*[[{]/.test(text)) {
    try {
      return JSON.parse(text);
    } catch {
      // Flow style of YAML begins in the same way.
    }
  }
  checkFlowDepth(text);
  return parseYaml(text, { maxAliasCount: 100, uniqueKeys: true, version: "1.1", schema: "core" });
}

export function parseBody(body: Body): ParsedBody {
  const type = mediaTypeOf(body.contentType);
  try {
    if (type === protobufContentType) return { value: decodeProtobuf(body.bytes), duplicates: [] };
    const text = body.bytes.toString("utf8");
    if (type === "application/yaml") return { value: parseYamlText(text), duplicates: [] };
    if (type === "application/json" || type === "") {
      return { value: JSON.parse(text), duplicates: findDuplicateFields(text) };
    }
  } catch (error) {
    throw badRequest(
      `the object provided is unrecognized (must be of type ${type || "application/json"}): ${messageOf(error)}`,
    );
  }
  throw unsupportedMediaType(["application/json", "application/yaml", protobufContentType]);
}

export interface DecodeOptions {
  /** Strict refuses unknown fields, Warn (as when absent) tells of them, Ignore does not. */
  readonly fieldValidation: string | null;
  readonly warnings: string[];
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What is absent, empty or no text is taken for what the URL says; the schema refuses the latter. */
const textOr = (value: unknown, fallback: string): string =>
  typeof value === "string" && value !== "" ? value : fallback;

/** Refuses a fieldValidation parameter that is none of the three. */
export function checkFieldValidation(query: URLSearchParams): void {
  const value = query.get("fieldValidation");
  if (value !== null && !["", "Ignore", "Warn", "Strict"].includes(value))
    throw badRequest(
      `fieldValidation: Unsupported value: ${JSON.stringify(value)}: supported values: "", "Ignore", "Strict", "Warn"`,
    );
}

/** Checks plain data against the schema of `kind`: a new object that has its known fields alone, in canonical form. */
export function decodeAs(kind: GroupVersionKind, parsed: ParsedBody, options: DecodeOptions): KubernetesObject {
  const { value, duplicates } = parsed;
  if (!isRecord(value)) throw badRequest(`the body is no ${kind.kind}: it must be an object`);
  const apiVersion = apiVersionOf(kind);
  const given = { apiVersion: textOr(value.apiVersion, apiVersion), kind: textOr(value.kind, kind.kind) };
  if (given.apiVersion !== apiVersion || given.kind !== kind.kind)
    throw badRequest(
      `the object provided is a ${gvkText({ ...parseApiVersion(given.apiVersion), kind: given.kind })}, and the URL is for ${gvkText(kind)}`,
    );
  const schema = schemaOf(kind);
  if (schema === undefined)
    throw badRequest(`no kind ${JSON.stringify(kind.kind)} is registered for version ${JSON.stringify(apiVersion)}`);
  const what = `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: `;
  let decoded: ReturnType<typeof decodeObject>;
  try {
    decoded = decodeObject(schema, value);
  } catch (error) {
    throw badRequest(what + messageOf(error));
  }
  const { unknownFields } = decoded;
  if (unknownFields.length + duplicates.length > 0) {
    if (options.fieldValidation === "Strict") throw badRequest(what + strictDecodingError(unknownFields, duplicates));
    if (options.fieldValidation !== "Ignore") options.warnings.push(...fieldWarnings(unknownFields, duplicates));
  }
  return { metadata: {}, ...decoded.object, apiVersion, kind: kind.kind };
}
