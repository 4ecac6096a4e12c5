import {
  jsonPatch,
  type KubernetesObject,
  mergePatch,
  schemaOf,
  strategicMergePatch,
  type GroupVersionKind,
} from "@tripod/api/kubernetes";
import { isTripodError, messageOf } from "@tripod/base";
import { ApiError, badRequest, unsupportedMediaType } from "../http/api-error.ts";
import { type Body, decodeAs, mediaTypeOf } from "./decode-body.ts";
import type { ResourceRequest } from "./request.ts";
import { change } from "./update.ts";

export const applyPatchType = "application/apply-patch+yaml";
const jsonPatchType = "application/json-patch+json";
const mergePatchType = "application/merge-patch+json";
const strategicPatchType = "application/strategic-merge-patch+json";

type PatchFunction = (kind: GroupVersionKind, object: KubernetesObject, patch: unknown) => unknown;

const patchFunctions: Readonly<Record<string, PatchFunction>> = {
  [jsonPatchType]: (_kind, object, patch) => jsonPatch(object, patch),
  [mergePatchType]: (_kind, object, patch) => mergePatch(object, patch),
  [strategicPatchType]: (kind, object, patch) => strategicMergePatch(schemaOf(kind), object, patch),
};

function parsePatch(body: Body, custom: boolean): { readonly patch: unknown; readonly apply: PatchFunction } {
  const type = mediaTypeOf(body.contentType);
  const strategic = custom ? [] : [strategicPatchType];
  const apply = custom && type === strategicPatchType ? undefined : patchFunctions[type];
  if (apply === undefined) throw unsupportedMediaType([jsonPatchType, mergePatchType, ...strategic, applyPatchType]);
  try {
    return { patch: JSON.parse(body.bytes.toString("utf8")), apply };
  } catch (error) {
    throw badRequest(`error decoding patch: ${messageOf(error)}`);
  }
}

/** What upstream answers to a patch that cannot be applied to the object. */
const unprocessable = (error: unknown): ApiError =>
  new ApiError("invalid", {
    code: 422,
    reason: "Invalid",
    message: `the server rejected our request due to an error in our request: ${messageOf(error)}`,
    details: {},
  });

const versionIn = (patch: unknown): boolean =>
  typeof patch === "object" && patch !== null && "metadata" in patch && hasVersion(patch.metadata);
const hasVersion = (metadata: unknown): boolean =>
  typeof metadata === "object" &&
  metadata !== null &&
  "resourceVersion" in metadata &&
  Boolean(metadata.resourceVersion);

/** PATCH by JSON patch, merge patch or strategic merge patch. */
export function patch(request: ResourceRequest, body: Body): Promise<KubernetesObject> {
  const { resource } = request;
  const { patch: given, apply } = parsePatch(body, resource.custom === true);
  const options = { fieldValidation: request.query.get("fieldValidation"), warnings: request.warnings };
  return change(
    request,
    (old) => {
      let patched: unknown;
      try {
        patched = apply(resource, structuredClone(old.object), given);
      } catch (error) {
        if (isTripodError(error, "invalid")) throw unprocessable(error);
        throw error;
      }
      // A race makes this run again, and the client wants to be told once.
      request.warnings.length = 0;
      return decodeAs(resource, { value: patched, duplicates: [] }, options);
    },
    { insists: () => versionIn(given) },
  );
}
