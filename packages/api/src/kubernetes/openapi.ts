import type { GroupVersionKind } from "./object.ts";
import { type Definition, Definitions, type OpenApiDialect } from "./openapi-definitions.ts";
import { type OpenApiResource, openApiPaths } from "./openapi-paths.ts";
import { kindSchema } from "./schema.ts";

export interface OpenApiInfo {
  /** As /version says it, for example "v1.33.0". */
  readonly version: string;
}

const metaKinds = ["DeleteOptions", "Status", "WatchEvent"];

function definitionsOf(dialect: OpenApiDialect, resources: readonly OpenApiResource[]): Record<string, Definition> {
  const kinds = new Map<string, GroupVersionKind[]>();
  const note = (gvk: GroupVersionKind): void => {
    const message = kindSchema(gvk)?.message;
    if (message === undefined) return;
    const known = kinds.get(message) ?? [];
    const isKnown = known.some(
      (each) => each.group === gvk.group && each.version === gvk.version && each.kind === gvk.kind,
    );
    if (!isKnown) kinds.set(message, [...known, { group: gvk.group, version: gvk.version, kind: gvk.kind }]);
  };
  for (const resource of resources) {
    note(resource);
    note({ ...resource, kind: `${resource.kind}List` });
    for (const subresource of resource.subresources ?? []) if (subresource.kind !== undefined) note(subresource.kind);
    for (const kind of metaKinds) note({ ...resource, kind });
  }
  const definitions = new Definitions(dialect, kinds);
  definitions.add("meta.v1.Patch");
  for (const message of kinds.keys()) definitions.add(message);
  return definitions.toJSON();
}

/** The OpenAPI 3.0 document of one group and version; `resources` are those of that group and version. */
export function openApiV3(info: OpenApiInfo, resources: readonly OpenApiResource[]): Definition {
  return {
    openapi: "3.0.0",
    info: { title: "Kubernetes", version: info.version },
    paths: openApiPaths("v3", resources),
    components: { schemas: definitionsOf("v3", resources) },
  };
}

/** The OpenAPI 2.0 (Swagger) document of all resources together. */
export function openApiV2(info: OpenApiInfo, resources: readonly OpenApiResource[]): Definition {
  return {
    swagger: "2.0",
    info: { title: "Kubernetes", version: info.version },
    paths: openApiPaths("v2", resources),
    definitions: definitionsOf("v2", resources),
  };
}
