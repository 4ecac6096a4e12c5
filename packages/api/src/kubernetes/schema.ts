import tables from "../../gen/kubernetes/tables.json" with { type: "json" };
import { apiVersionOf, type GroupVersionKind } from "./object.ts";

/** JSON values with a form of their own, or that the schema says nothing about. */
export type ScalarName =
  | "string"
  | "bool"
  | "int32"
  | "int64"
  | "double"
  | "bytes"
  | "any"
  | "quantity"
  | "time"
  | "microtime"
  | "duration"
  | "fieldsv1"
  | "intorstring"
  | "raw";

export type TypeSchema =
  | { readonly kind: "scalar"; readonly name: ScalarName }
  /** A string out of a fixed set; `values` says which. */
  | { readonly kind: "enum"; readonly name: string }
  | { readonly kind: "message"; readonly name: string }
  /** `wrapped`: on the protobuf wire the list stands in a message of its own. */
  | { readonly kind: "list"; readonly of: TypeSchema; readonly wrapped: boolean }
  | { readonly kind: "map"; readonly of: TypeSchema };

export interface FieldSchema {
  /** JSON name; "" for a struct whose fields stand among the others in JSON, but in a message of their own on the wire. */
  readonly name: string;
  /** Protobuf number; 0 for what does not travel as protobuf. */
  readonly number: number;
  readonly type: TypeSchema;
  /** A zero value and absence differ. */
  readonly pointer: boolean;
  readonly required: boolean;
  /** JSON leaves a zero value out. */
  readonly omitEmpty: boolean;
  /** Strategic merge patch: "merge", "replace" (as when empty), "retainKeys". */
  readonly patchStrategies: readonly string[];
  readonly patchMergeKey: string | undefined;
  /** Server-side apply: "atomic", "set" or "map"; undefined means atomic for lists. */
  readonly listType: string | undefined;
  readonly listMapKeys: readonly string[];
  /** Server-side apply: the map or struct is owned as one. */
  readonly atomic: boolean;
  /** The value that absence stands for. */
  readonly fallback: unknown;
}

export interface MessageSchema {
  /** For example "core.v1.PodSpec". */
  readonly name: string;
  /** In declaration order, with inlined structs as entries of their own. */
  readonly fields: readonly FieldSchema[];
  /** By JSON name, with the fields of inlined structs among them. */
  readonly byName: ReadonlyMap<string, FieldSchema>;
  /** In the order of the numbers; inlined structs under the number that they have on the wire. */
  readonly byNumber: ReadonlyMap<number, FieldSchema>;
  /** Server-side apply owns the whole as one. */
  readonly atomic: boolean;
}

export interface KindSchema {
  readonly gvk: GroupVersionKind;
  readonly message: string;
  /** "none": not a stored object (lists, options, statuses). */
  readonly scope: "namespaced" | "cluster" | "none";
}

// The JSON module's inferred type has thousands of literal keys; these are the same objects by key.
const messageLines: Readonly<Record<string, string>> = tables.messages;
const enumLines: Readonly<Record<string, string>> = tables.enums;
const kindLines: Readonly<Record<string, string>> = tables.kinds;

function parseType(word: string): TypeSchema {
  if (word.startsWith("*")) return parseType(word.slice(1));
  if (word.startsWith("%[]")) return { kind: "list", of: parseType(word.slice(3)), wrapped: true };
  if (word.startsWith("[]")) return { kind: "list", of: parseType(word.slice(2)), wrapped: false };
  if (word.startsWith("{}")) return { kind: "map", of: parseType(word.slice(2)) };
  if (word.startsWith("#")) return { kind: "enum", name: word.slice(1) };
  if (word.includes(".")) return { kind: "message", name: word };
  return { kind: "scalar", name: word as ScalarName }; // the generator writes no other word without a dot
}

function parseField(line: string): FieldSchema {
  const [name = "", number = "0", word = "", ...rest] = line.split(" ");
  const flags = new Map<string, string>();
  for (const part of rest) {
    const equals = part.indexOf("=");
    if (equals < 0) for (const letter of part) flags.set(letter, "");
    else flags.set(part.slice(0, equals), part.slice(equals + 1));
  }
  const fallback = flags.get("d");
  return {
    name: name === "-" ? "" : name,
    number: Number(number),
    type: parseType(word),
    pointer: word.startsWith("*"),
    required: flags.has("r"),
    omitEmpty: flags.has("o"),
    patchStrategies: flags.get("p")?.split(",") ?? [],
    patchMergeKey: flags.get("k"),
    listType: flags.get("l"),
    listMapKeys: flags.get("lk")?.split(",") ?? [],
    atomic: flags.has("a"),
    fallback: fallback === undefined ? undefined : JSON.parse(fallback),
  };
}

const parsed = new Map<string, MessageSchema>();

/** The schema of a message by its table name, for example "core.v1.Pod"; undefined when there is none. Parsed on first use. */
export function messageSchema(name: string): MessageSchema | undefined {
  const known = parsed.get(name);
  if (known !== undefined) return known;
  if (!Object.hasOwn(messageLines, name)) return undefined;
  const [lines = "", flag] = messageLines[name]?.split("|a") ?? [];
  const fields = lines === "" ? [] : lines.split(";").map(parseField);
  const byName = new Map<string, FieldSchema>();
  for (const field of fields) {
    if (field.name !== "") byName.set(field.name, field);
    else if (field.type.kind === "message")
      for (const [inner, schema] of requireMessage(field.type.name).byName) byName.set(inner, schema);
  }
  const numbered = fields.filter((field) => field.number > 0).sort((a, b) => a.number - b.number);
  const byNumber = new Map(numbered.map((field) => [field.number, field]));
  const schema: MessageSchema = { name, fields, byName, byNumber, atomic: flag !== undefined };
  parsed.set(name, schema);
  return schema;
}

/** As messageSchema, for names that come out of the tables themselves. */
export function requireMessage(name: string): MessageSchema {
  const found = messageSchema(name);
  if (found === undefined) throw new Error(`Kubernetes schema: no message ${name}`);
  return found;
}

/** The values of an enumeration by its table name. */
export const enumValues = (name: string): readonly string[] => enumLines[name]?.split("|") ?? [];

/** What is known of a kind. Kinds of the meta group (Status, DeleteOptions, WatchEvent…) belong to every group and version. */
export function kindSchema(gvk: GroupVersionKind): KindSchema | undefined {
  const own = `${gvk.group}/${gvk.version}/${gvk.kind}`;
  const key = Object.hasOwn(kindLines, own) ? own : `meta/v1/${gvk.kind}`;
  if (!Object.hasOwn(kindLines, key)) return undefined;
  const [message = "", scope] = kindLines[key]?.split(" ") ?? [];
  return { gvk, message, scope: scope === "n" ? "namespaced" : scope === "c" ? "cluster" : "none" };
}

/** Every kind of a group and version, without those of the meta group. */
export function kindsOf(group: string, version: string): KindSchema[] {
  const prefix = `${group}/${version}/`;
  const found: KindSchema[] = [];
  for (const key of Object.keys(kindLines)) {
    const schema = key.startsWith(prefix) ? kindSchema({ group, version, kind: key.slice(prefix.length) }) : undefined;
    if (schema !== undefined) found.push(schema);
  }
  return found;
}

/** The schema of a kind's message; undefined for a kind that the tables do not have. */
export function schemaOf(gvk: GroupVersionKind): MessageSchema | undefined {
  const kind = kindSchema(gvk);
  return kind === undefined ? undefined : messageSchema(kind.message);
}

/** "apps/v1, Kind=Deployment", as upstream prints kinds in messages; core kinds start with a slash. */
export const gvkText = (gvk: GroupVersionKind): string =>
  `${gvk.group === "" ? `/${gvk.version}` : apiVersionOf(gvk)}, Kind=${gvk.kind}`;
