import type { GroupVersionKind } from "./object.ts";
import { type Definition, definitionRef, gvkExtension, type OpenApiDialect, rootPath } from "./openapi-definitions.ts";
import { kindSchema } from "./schema.ts";

/** What a server offers of a kind; the documents are made from a list of these. */
export interface OpenApiResource {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** For example "pods". */
  readonly plural: string;
  readonly namespaced: boolean;
  /** get, list, create, update, patch, delete, deletecollection, watch. */
  readonly verbs: readonly string[];
  readonly subresources?: readonly OpenApiSubresource[];
  /** Takes neither protobuf nor strategic merge patches. */
  readonly custom?: boolean;
}

export interface OpenApiSubresource {
  /** For example "status". */
  readonly name: string;
  /** The kind of its body, where it is not the resource's own. */
  readonly kind?: GroupVersionKind;
  readonly verbs: readonly string[];
}

interface Action {
  readonly verb: string;
  readonly method: "get" | "put" | "post" | "patch" | "delete";
  /** What x-kubernetes-action says. */
  readonly action: string;
  readonly on: "collection" | "object";
}

const actions: readonly Action[] = [
  { verb: "list", method: "get", action: "list", on: "collection" },
  { verb: "create", method: "post", action: "post", on: "collection" },
  { verb: "deletecollection", method: "delete", action: "deletecollection", on: "collection" },
  { verb: "get", method: "get", action: "get", on: "object" },
  { verb: "update", method: "put", action: "put", on: "object" },
  { verb: "patch", method: "patch", action: "patch", on: "object" },
  { verb: "delete", method: "delete", action: "delete", on: "object" },
];

/** Query parameters: what changes something can be tried without effect, and says how it treats unknown fields. */
const queryParameters: Readonly<Record<string, readonly (readonly [name: string, type: string])[]>> = {
  list: [
    ["allowWatchBookmarks", "boolean"],
    ["continue", "string"],
    ["fieldSelector", "string"],
    ["labelSelector", "string"],
    ["limit", "integer"],
    ["resourceVersion", "string"],
    ["resourceVersionMatch", "string"],
    ["sendInitialEvents", "boolean"],
    ["timeoutSeconds", "integer"],
    ["watch", "boolean"],
  ],
  get: [],
  post: [
    ["dryRun", "string"],
    ["fieldManager", "string"],
    ["fieldValidation", "string"],
  ],
  put: [
    ["dryRun", "string"],
    ["fieldManager", "string"],
    ["fieldValidation", "string"],
  ],
  patch: [
    ["dryRun", "string"],
    ["fieldManager", "string"],
    ["fieldValidation", "string"],
    ["force", "boolean"],
  ],
  delete: [
    ["dryRun", "string"],
    ["gracePeriodSeconds", "integer"],
    ["orphanDependents", "boolean"],
    ["propagationPolicy", "string"],
  ],
  deletecollection: [
    ["dryRun", "string"],
    ["fieldSelector", "string"],
    ["gracePeriodSeconds", "integer"],
    ["labelSelector", "string"],
    ["propagationPolicy", "string"],
  ],
};

const customPatchTypes = [
  "application/apply-patch+yaml",
  "application/json-patch+json",
  "application/merge-patch+json",
];
const patchTypes = [...customPatchTypes, "application/strategic-merge-patch+json"];
const customBodyTypes = ["application/json", "application/yaml"];
const bodyTypes = [...customBodyTypes, "application/vnd.kubernetes.protobuf"];

const pascal = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

class PathWriter {
  readonly paths: Record<string, Definition> = {};
  readonly #dialect: OpenApiDialect;

  constructor(dialect: OpenApiDialect) {
    this.#dialect = dialect;
  }

  resource(resource: OpenApiResource): void {
    const root = rootPath(resource);
    const collection = resource.namespaced
      ? `${root}/namespaces/{namespace}/${resource.plural}`
      : `${root}/${resource.plural}`;
    for (const action of actions) {
      if (!resource.verbs.includes(action.verb)) continue;
      const path = action.on === "collection" ? collection : `${collection}/{name}`;
      this.#operation(path, action, resource, resource, "");
    }
    if (resource.namespaced && resource.verbs.includes("list")) {
      const list = actions[0];
      if (list !== undefined)
        this.#operation(`${root}/${resource.plural}`, list, resource, resource, "ForAllNamespaces");
    }
    for (const subresource of resource.subresources ?? []) {
      const kind = subresource.kind ?? resource;
      for (const verb of subresource.verbs) {
        const action = actions.find((candidate) => candidate.verb === verb);
        if (action === undefined) continue;
        const on = { ...action, on: "object" as const };
        this.#operation(`${collection}/{name}/${subresource.name}`, on, resource, kind, pascal(subresource.name));
      }
    }
  }

  #operation(path: string, action: Action, resource: OpenApiResource, kind: GroupVersionKind, suffix: string): void {
    const body = kindSchema(kind)?.message;
    const replyKind =
      action.action === "list"
        ? kindSchema({ ...kind, kind: `${kind.kind}List` })?.message
        : action.action === "deletecollection"
          ? "meta.v1.Status"
          : body;
    const schema = replyKind === undefined ? { type: "object" } : definitionRef(this.#dialect, replyKind);
    const parameters: Definition[] = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) =>
      this.#parameter(name ?? "", "path", "string"),
    );
    for (const [name, type] of queryParameters[action.action] ?? [])
      parameters.push(this.#parameter(name, "query", type));
    const group = resource.group === "" ? "Core" : resource.group.split(".").map(pascal).join("");
    const scope = path.includes("{namespace}") ? "Namespaced" : "";
    const operation: Definition = {
      operationId: `${action.verb}${group}${pascal(resource.version)}${scope}${resource.kind}${suffix}`,
      tags: [`${group.charAt(0).toLowerCase()}${group.slice(1)}_${resource.version}`],
      parameters,
      responses: { "200": this.#reply(schema) },
      "x-kubernetes-action": action.action,
      "x-kubernetes-group-version-kind": gvkExtension(kind),
    };
    if (action.method !== "get") this.#body(operation, action, { message: body, custom: resource.custom === true });
    const item = (this.paths[path] ??= {});
    item[action.method] = operation;
  }

  #parameter(name: string, where: "path" | "query", type: string): Definition {
    const required = where === "path" ? { required: true } : {};
    return this.#dialect === "v2"
      ? { name, in: where, ...required, type, uniqueItems: true }
      : { name, in: where, ...required, schema: { type, uniqueItems: true } };
  }

  #reply(schema: Definition): Definition {
    return this.#dialect === "v2"
      ? { description: "OK", schema }
      : { description: "OK", content: { "application/json": { schema } } };
  }

  #body(
    operation: Definition,
    action: Action,
    { message: body, custom }: { readonly message: string | undefined; readonly custom: boolean },
  ): void {
    const message =
      action.action === "patch" ? "meta.v1.Patch" : action.method === "delete" ? "meta.v1.DeleteOptions" : body;
    const schema = message === undefined ? { type: "object" } : definitionRef(this.#dialect, message);
    const required = action.method !== "delete";
    const patches = custom ? customPatchTypes : patchTypes;
    if (this.#dialect === "v2") {
      const parameters = operation.parameters as Definition[]; // set by #operation
      parameters.push({ name: "body", in: "body", ...(required ? { required } : {}), schema });
      operation.consumes = action.action === "patch" ? patches : ["*/*"];
      return;
    }
    const types = action.action === "patch" ? patches : custom ? customBodyTypes : bodyTypes;
    operation.requestBody = {
      ...(required ? { required } : {}),
      content: Object.fromEntries(types.map((type) => [type, { schema }])),
    };
  }
}

/** The paths object of a document for these resources. */
export function openApiPaths(
  dialect: OpenApiDialect,
  resources: readonly OpenApiResource[],
): Record<string, Definition> {
  const writer = new PathWriter(dialect);
  for (const resource of resources) writer.resource(resource);
  return writer.paths;
}
