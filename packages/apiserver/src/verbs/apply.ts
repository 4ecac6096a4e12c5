import { applyConfiguration, type ApplyConflict, type KubernetesObject, schemaOf } from "@tripod/api/kubernetes";
import { isTripodError, messageOf } from "@tripod/base";
import { ApiError, badRequest, noSuchPath } from "../http/api-error.ts";
import type { StoredObject } from "../registry/stored-object.ts";
import { createApplied } from "./create.ts";
import { type Body, decodeAs, parseYamlText } from "./decode-body.ts";
import { booleanParameter, type ResourceRequest } from "./request.ts";
import { asObject, managerOf } from "./track-fields.ts";
import { replaceTracked } from "./update.ts";

const mostTries = 8;

export interface Applied {
  readonly object: KubernetesObject;
  readonly isNew: boolean;
}

/** The configuration in the body: YAML, of which JSON is a part. */
function configurationOf(request: ResourceRequest, body: Body): KubernetesObject {
  let value: unknown;
  try {
    value = parseYamlText(body.bytes.toString("utf8"));
  } catch (error) {
    throw badRequest(`error decoding YAML: ${messageOf(error)}`);
  }
  const options = { fieldValidation: request.query.get("fieldValidation"), warnings: request.warnings };
  const config = decodeAs(request.resource, { value, duplicates: [] }, options);
  const { name } = config.metadata;
  if (name !== undefined && name !== request.name)
    throw badRequest(`the name of the object (${name}) does not match the name on the URL (${request.name})`);
  if ((config.metadata.managedFields ?? []).length > 0) throw badRequest("metadata.managedFields must be nil");
  return { ...config, metadata: { ...config.metadata, name: request.name ?? "" } };
}

const managerRequired = (): ApiError => {
  const why = "Required value: is required for apply patch";
  return new ApiError("invalid", {
    code: 422,
    reason: "Invalid",
    message: `PatchOptions.meta.k8s.io "" is invalid: fieldManager: ${why}`,
    details: {
      group: "meta.k8s.io",
      kind: "PatchOptions",
      causes: [{ reason: "FieldValueRequired", message: why, field: "fieldManager" }],
    },
  });
};

/** The refusal that names every field that others own. */
function conflictOf(error: unknown): unknown {
  if (!isTripodError(error, "conflict") || !Array.isArray(error.detail.conflicts)) return error;
  const conflicts: readonly ApplyConflict[] = error.detail.conflicts;
  return new ApiError("conflict", {
    code: 409,
    reason: "Conflict",
    message: error.message,
    details: {
      causes: conflicts.map(({ manager, apiVersion, operation, field }) => ({
        reason: "FieldManagerConflict",
        message: `conflict with ${JSON.stringify(manager)}${operation === "Update" ? ` using ${apiVersion}` : ""}`,
        field,
      })),
    },
  });
}

/** PATCH with an apply patch (server-side apply): what the configuration says, and who says it. Makes what is not there. */
export async function apply(request: ResourceRequest, body: Body): Promise<Applied> {
  const schema = schemaOf(request.resource);
  if (schema === undefined || request.resource.conversion !== undefined) throw noSuchPath();
  if (!request.query.get("fieldManager")) throw managerRequired();
  const config = configurationOf(request, body);
  const options = { who: managerOf(request), force: booleanParameter(request.query, "force") === true };
  const merge = (live: StoredObject | undefined): KubernetesObject => {
    try {
      const before = live === undefined ? undefined : { ...structuredClone(live.object) };
      return asObject(applyConfiguration(schema, before, { ...config }, options));
    } catch (error) {
      throw conflictOf(error);
    }
  };
  for (let tries = 1; ; tries += 1) {
    const old = await request.store.find(request.resource, request.namespace, request.name ?? "");
    const merged = merge(old);
    try {
      if (old !== undefined) return { object: await replaceTracked(request, merged, old), isNew: false };
      if (request.subresource !== undefined)
        await request.store.get(request.resource, request.namespace, request.name ?? "");
      return { object: await createApplied(request, merged), isNew: true };
    } catch (error) {
      const isRace = isTripodError(error, "conflict", "already-exists") && !config.metadata.resourceVersion;
      if (!isRace || tries === mostTries) throw error;
    }
  }
}
