import {
  apiVersionOf,
  decodeObject,
  decodeProtobuf,
  fieldWarnings,
  findDuplicateFields,
  protobufContentType,
  schemaOf,
  strictDecodingError,
} from "@tripod/api/kubernetes";
import { messageOf } from "@tripod/base";
import { parse as parseYaml } from "yaml";
import { ApiError, badRequest } from "../http/api-error.ts";
import type { ApiObject } from "../registry/api-object.ts";

/** A request's body and what it says it is. */
export interface Body {
  readonly contentType: string;
  readonly bytes: Buffer;
}

export interface Kind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** The body as plain data, and the keys that its text held twice. */
export function parseBody(body: Body): { readonly value: unknown; readonly duplicates: readonly string[] } {
  const type = body.contentType.split(";")[0]?.trim() ?? "";
  try {
    if (type === protobufContentType) return { value: decodeProtobuf(body.bytes), duplicates: [] };
    const text = body.bytes.toString("utf8");
    if (type === "application/yaml") return { value: parseYaml(text, { maxAliasCount: 100 }), duplicates: [] };
    if (type !== "application/json" && type !== "") {
      throw new ApiError(
        "invalid",
        415,
        "UnsupportedMediaType",
        `the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, ${protobufContentType}`,
      );
    }
    return { value: JSON.parse(text), duplicates: findDuplicateFields(text) };
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw badRequest(`the object provided is unrecognized (must be of type application/json): ${messageOf(error)}`);
  }
}

export interface DecodeOptions {
  /** Strict refuses unknown fields, Warn (as when absent) tells of them, Ignore does not. */
  readonly fieldValidation: string | null;
  readonly warnings: string[];
}

/** Checks plain data against the schema of `kind`: a new object with known fields alone. */
export function decodeAs(kind: Kind, value: unknown, duplicates: readonly string[], options: DecodeOptions): ApiObject {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw badRequest(`the body is no ${kind.kind}: an object is needed`);
  const given = value as Record<string, unknown>; // checked on the line above
  const apiVersion = apiVersionOf(kind);
  if ((given.apiVersion ?? apiVersion) !== apiVersion || (given.kind ?? kind.kind) !== kind.kind) {
    throw badRequest(
      `the API version in the data (${String(given.apiVersion)}, Kind=${String(given.kind)}) does not match the expected API version (${apiVersion}, Kind=${kind.kind})`,
    );
  }
  const schema = schemaOf(kind);
  if (schema === undefined) throw badRequest(`no schema for ${apiVersion}, Kind=${kind.kind}`);
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
  const object = decoded.object as ApiObject; // the schema of every kind has metadata; what lacks it gets it here
  object.metadata ??= {};
  object.apiVersion = apiVersion;
  object.kind = kind.kind;
  return object;
}
