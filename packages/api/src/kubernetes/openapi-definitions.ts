import { apiVersionOf, type GroupVersionKind } from "./object.ts";
import {
  enumValues,
  type FieldSchema,
  type MessageSchema,
  requireMessage,
  type ScalarName,
  type TypeSchema,
} from "./schema.ts";

/** A JSON Schema as OpenAPI writes it. */
export type Definition = Record<string, unknown>;
export type OpenApiDialect = "v2" | "v3";

const scalarNames: Readonly<Partial<Record<ScalarName, string>>> = {
  quantity: "io.k8s.apimachinery.pkg.api.resource.Quantity",
  time: "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
  microtime: "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
  fieldsv1: "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
  intorstring: "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
  raw: "io.k8s.apimachinery.pkg.runtime.RawExtension",
};

/** Packages that upstream serves by custom resource definitions, whose names there are their group's turned round. */
const customPackages = ["snapshot", "groupsnapshot", "populator"];

/** The name that OpenAPI documents give a message: "core.v1.Pod" is io.k8s.api.core.v1.Pod. */
const definitionName = (message: string): string => {
  const [name = ""] = message.split(".", 1);
  if (customPackages.includes(name)) return `io.k8s.storage.${message}`;
  return name === "meta" ? `io.k8s.apimachinery.pkg.apis.${message}` : `io.k8s.api.${message}`;
};

/** The path under which a document keeps its definitions. */
const prefixOf = (dialect: OpenApiDialect): string => (dialect === "v2" ? "#/definitions/" : "#/components/schemas/");

/** A reference to a message's definition. */
export const definitionRef = (dialect: OpenApiDialect, message: string): Definition => ({
  $ref: `${prefixOf(dialect)}${definitionName(message)}`,
});

function scalarDefinition(name: ScalarName, dialect: OpenApiDialect): Definition {
  switch (name) {
    case "string":
      return { type: "string" };
    case "duration":
      return { type: "string" };
    case "bool":
      return { type: "boolean" };
    case "int32":
    case "int64":
      return { type: "integer", format: name };
    case "double":
      return { type: "number", format: "double" };
    case "bytes":
      return { type: "string", format: "byte" };
    case "any":
      return {};
    case "quantity":
      return dialect === "v2" ? { type: "string" } : { oneOf: [{ type: "string" }, { type: "number" }] };
    case "time":
    case "microtime":
      return { type: "string", format: "date-time" };
    case "intorstring":
      return dialect === "v2"
        ? { type: "string", format: "int-or-string" }
        : { format: "int-or-string", oneOf: [{ type: "integer" }, { type: "string" }] };
    case "raw":
    case "fieldsv1":
      return { type: "object" };
  }
}

/** Collects the definitions that a document needs, each message once, as they are met. */
export class Definitions {
  readonly dialect: OpenApiDialect;
  readonly #found = new Map<string, Definition>();
  /** Kinds by message, so that a definition can say which kinds it is. */
  readonly #kinds: ReadonlyMap<string, readonly GroupVersionKind[]>;

  constructor(dialect: OpenApiDialect, kinds: ReadonlyMap<string, readonly GroupVersionKind[]>) {
    this.dialect = dialect;
    this.#kinds = kinds;
  }

  /** Adds a message with everything that it refers to. */
  add(message: string): void {
    const name = definitionName(message);
    if (this.#found.has(name)) return;
    const definition: Definition = {};
    this.#found.set(name, definition);
    Object.assign(definition, this.#message(requireMessage(message)));
    const kinds = this.#kinds.get(message);
    if (kinds !== undefined)
      definition["x-kubernetes-group-version-kind"] = kinds.map(({ group, version, kind }) => ({
        group,
        kind,
        version,
      }));
  }

  /** By name, in the order of the names. */
  toJSON(): Record<string, Definition> {
    return Object.fromEntries([...this.#found].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #message(schema: MessageSchema): Definition {
    const properties: Record<string, Definition> = {};
    const required: string[] = [];
    for (const [name, field] of schema.byName) {
      properties[name] = this.#field(field);
      if (field.required) required.push(name);
    }
    return {
      type: "object",
      ...(required.length > 0 ? { required: required.sort() } : {}),
      ...(Object.keys(properties).length > 0 ? { properties } : {}),
      ...(schema.atomic ? { "x-kubernetes-map-type": "atomic" } : {}),
    };
  }

  #field(field: FieldSchema): Definition {
    const extra: Definition = {};
    if (field.fallback !== undefined) extra.default = field.fallback;
    if (field.listType !== undefined) extra["x-kubernetes-list-type"] = field.listType;
    if (field.listMapKeys.length > 0) extra["x-kubernetes-list-map-keys"] = field.listMapKeys;
    if (field.atomic) extra["x-kubernetes-map-type"] = "atomic";
    if (field.patchMergeKey !== undefined) extra["x-kubernetes-patch-merge-key"] = field.patchMergeKey;
    if (field.patchStrategies.length > 0) extra["x-kubernetes-patch-strategy"] = field.patchStrategies.join(",");
    const type = this.#type(field.type);
    // OpenAPI 3.0 allows nothing beside a reference.
    if (this.dialect === "v3" && "$ref" in type && Object.keys(extra).length > 0) return { allOf: [type], ...extra };
    return { ...type, ...extra };
  }

  #type(type: TypeSchema): Definition {
    switch (type.kind) {
      case "message":
        this.add(type.name);
        return definitionRef(this.dialect, type.name);
      case "enum":
        return { type: "string", enum: [...enumValues(type.name)].sort() };
      case "list":
        return { type: "array", items: this.#type(type.of) };
      case "map":
        return { type: "object", additionalProperties: this.#type(type.of) };
      case "scalar": {
        const name = scalarNames[type.name];
        if (name === undefined) return scalarDefinition(type.name, this.dialect);
        if (!this.#found.has(name)) this.#found.set(name, scalarDefinition(type.name, this.dialect));
        return { $ref: `${prefixOf(this.dialect)}${name}` };
      }
    }
  }
}

/** The extension that ties an operation to its kind. */
export const gvkExtension = (gvk: GroupVersionKind): Definition => ({
  group: gvk.group,
  kind: gvk.kind,
  version: gvk.version,
});

/** "/api/v1" for core, "/apis/apps/v1" for a named group. */
export const rootPath = (gv: { readonly group: string; readonly version: string }): string =>
  gv.group === "" ? `/api/${gv.version}` : `/apis/${apiVersionOf(gv)}`;
