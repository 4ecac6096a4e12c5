import { jsonPatch, mergePatch, schemaOf, strategicMergePatch } from "@tripod/api/kubernetes";
import { codeOf, messageOf } from "@tripod/base";
import { ApiError } from "../http/api-error.ts";
import type { ApiObject } from "../registry/api-object.ts";
import type { ResourceDefinition } from "../registry/resource.ts";
import { decodeAs, type DecodeOptions } from "./decode-body.ts";

const patchTypes = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
];

/** The change that a PATCH body asks for, as a function of the object as it is. */
export function patchChange(
  resource: ResourceDefinition,
  contentType: string,
  bytes: Buffer,
  options: DecodeOptions,
): (old: ApiObject) => ApiObject {
  const type = contentType.split(";")[0]?.trim() ?? "";
  if (!patchTypes.includes(type)) {
    throw new ApiError(
      "invalid",
      415,
      "UnsupportedMediaType",
      `the body of the request was in an unknown format - accepted media types include: ${patchTypes.join(", ")}`,
    );
  }
  let body: unknown;
  try {
    body = JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw new ApiError("invalid", 400, "BadRequest", `error decoding patch: ${messageOf(error)}`);
  }
  const apply = (old: ApiObject): unknown => {
    if (type === "application/json-patch+json") return jsonPatch(old, body);
    if (type === "application/merge-patch+json") return mergePatch(old, body);
    return strategicMergePatch(schemaOf(resource), old, body);
  };
  return (old) => {
    let patched: unknown;
    try {
      patched = apply(old);
    } catch (error) {
      if (codeOf(error) !== "invalid") throw error;
      throw new ApiError(
        "invalid",
        422,
        "Invalid",
        `the server rejected our request due to an error in our request: ${messageOf(error)}`,
      );
    }
    return decodeAs(resource, patched, [], options);
  };
}
