/**
 * Turns Go type declarations into packages/api/gen/kubernetes: tables.json, one line of facts a message, and TypeScript types. Facts
 * only: names, numbers, types, merge keys, enumerated values. The checkouts are those of k8s.io/api, k8s.io/apimachinery,
 * github.com/kubernetes-csi/external-snapshotter/client/v8 and github.com/kubernetes-csi/volume-data-source-validator/client.
 *
 *     node tools/gen-kubernetes.ts API APIMACHINERY SNAPSHOTTER_CLIENT POPULATOR_CLIENT
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Declaration, type Field, type Package, parsePackage } from "./go-declarations.ts";

/** [folder in the api checkout, API group]; the order decides who keeps a plain name in the index when two packages share it. */
const packages: readonly (readonly [folder: string, group: string])[] = [
  ["core/v1", ""],
  ["apps/v1", "apps"],
  ["batch/v1", "batch"],
  ["authentication/v1", "authentication.k8s.io"],
  ["storage/v1", "storage.k8s.io"],
  ["node/v1", "node.k8s.io"],
  ["coordination/v1", "coordination.k8s.io"],
  ["discovery/v1", "discovery.k8s.io"],
  ["networking/v1", "networking.k8s.io"],
  ["policy/v1", "policy"],
  ["rbac/v1", "rbac.authorization.k8s.io"],
  ["scheduling/v1", "scheduling.k8s.io"],
  ["authorization/v1", "authorization.k8s.io"],
  ["autoscaling/v2", "autoscaling"],
  ["autoscaling/v1", "autoscaling"],
  ["admissionregistration/v1", "admissionregistration.k8s.io"],
  ["admission/v1", "admission.k8s.io"],
  ["certificates/v1", "certificates.k8s.io"],
  ["resource/v1", "resource.k8s.io"],
  ["flowcontrol/v1", "flowcontrol.apiserver.k8s.io"],
  ["events/v1", "events.k8s.io"],
  ["scheduling/v1alpha3", "scheduling.k8s.io"],
  ["apidiscovery/v2", "apidiscovery.k8s.io"],
  ["apidiscovery/v2beta1", "apidiscovery.k8s.io"],
];

/**
 * What upstream serves by custom resource definitions: JSON alone, so the numbers in their declarations mean nothing on any wire.
 * [package, group, import path of its module, folder in it]
 */
const customPackages = [
  [
    "snapshot.v1",
    "snapshot.storage.k8s.io",
    "github.com/kubernetes-csi/external-snapshotter/client/v8",
    "apis/volumesnapshot/v1",
  ],
  [
    "groupsnapshot.v1",
    "groupsnapshot.storage.k8s.io",
    "github.com/kubernetes-csi/external-snapshotter/client/v8",
    "apis/volumegroupsnapshot/v1",
  ],
  [
    "groupsnapshot.v1beta2",
    "groupsnapshot.storage.k8s.io",
    "github.com/kubernetes-csi/external-snapshotter/client/v8",
    "apis/volumegroupsnapshot/v1beta2",
  ],
  [
    "groupsnapshot.v1beta1",
    "groupsnapshot.storage.k8s.io",
    "github.com/kubernetes-csi/external-snapshotter/client/v8",
    "apis/volumegroupsnapshot/v1beta1",
  ],
  [
    "populator.v1beta1",
    "populator.storage.k8s.io",
    "github.com/kubernetes-csi/volume-data-source-validator/client",
    "apis/volumepopulator/v1beta1",
  ],
] as const;
const customImports = new Map<string, string>(
  customPackages.map(([id, , module, folder]) => [`${module}/${folder}`, id]),
);

/** Go type -> [table word, TypeScript type], for what has its own JSON or wire form. */
const special = new Map<string, readonly [string, string]>([
  ["string", ["string", "string"]],
  ["bool", ["bool", "boolean"]],
  ["int", ["int64", "number"]],
  ["int32", ["int32", "number"]],
  ["int64", ["int64", "number"]],
  ["float64", ["double", "number"]],
  ["[]byte", ["bytes", "string"]],
  ["interface{}", ["any", "unknown"]],
  ["types.UID", ["string", "string"]],
  ["types.NodeName", ["string", "string"]],
  ["resource.Quantity", ["quantity", "Quantity"]],
  ["meta.v1.Time", ["time", "Time"]],
  ["meta.v1.MicroTime", ["microtime", "MicroTime"]],
  ["meta.v1.Duration", ["duration", "string"]],
  ["meta.v1.FieldsV1", ["fieldsv1", "FieldsV1"]],
  ["intstr.IntOrString", ["intorstring", "IntOrString"]],
  ["runtime.RawExtension", ["raw", "RawExtension"]],
]);

const args = process.argv.slice(2);
const [apiDir, machineryDir, snapshotterDir, populatorDir] = args;
if (apiDir === undefined || machineryDir === undefined || snapshotterDir === undefined || populatorDir === undefined) {
  console.error("usage: gen-kubernetes.ts API APIMACHINERY SNAPSHOTTER_CLIENT POPULATOR_CLIENT");
  process.exit(1);
}

const typeFiles = (dir: string): string[] =>
  readdirSync(dir)
    .filter((file) => /^types.*\.go$/.test(file) && !file.endsWith("_test.go") && !file.includes("swagger"))
    .map((file) => join(dir, file));
const metaDir = join(machineryDir, "pkg/apis/meta/v1");
const all = new Map<string, Package>();
all.set(
  "meta.v1",
  parsePackage({ id: "meta.v1", group: "", version: "v1" }, [
    join(metaDir, "types.go"),
    join(metaDir, "watch.go"),
    join(metaDir, "group_version.go"),
  ]),
);
all.get("meta.v1")?.declarations.delete("InternalEvent"); // a cast that never travels
for (const [folder, group] of packages) {
  const id = folder.replace("/", ".");
  all.set(id, parsePackage({ id, group, version: id.split(".")[1] ?? "" }, typeFiles(join(apiDir, folder))));
}

for (const [id, group, module, folder] of customPackages) {
  const checkout = module.includes("external-snapshotter") ? snapshotterDir : populatorDir;
  const custom = parsePackage(
    { id, group, version: id.split(".")[1] ?? "" },
    typeFiles(join(checkout, folder)),
    customImports,
  );
  for (const declaration of custom.declarations.values())
    if (declaration.kind === "struct") for (const field of declaration.fields) field.number = 0;
  all.set(id, custom);
}

/** A Go type as written in `from` with its package spelled out: "v1.Pod" -> "core.v1.Pod". */
function qualify(goType: string, from: Package): string {
  if (special.has(goType)) return goType;
  const dot = goType.indexOf(".");
  if (dot < 0) return `${from.id}.${goType}`;
  const [alias, name] = [goType.slice(0, dot), goType.slice(dot + 1)];
  if (alias === "runtime" || alias === "intstr" || alias === "resource") return goType;
  const imported = from.imports.get(alias);
  if (imported !== undefined && all.has(imported)) return `${imported}.${name}`;
  throw new Error(`${from.id}: no such package: ${goType}`);
}

interface Resolved {
  /** The word in the tables. */
  readonly table: string;
  readonly typescript: string;
}

function lookUp(qualified: string): { declaration: Declaration; owner: Package } {
  const dot = qualified.lastIndexOf(".");
  const owner = all.get(qualified.slice(0, dot));
  const declaration = owner?.declarations.get(qualified.slice(dot + 1));
  if (owner === undefined || declaration === undefined) throw new Error(`no such type: ${qualified}`);
  return { declaration, owner };
}

const isEnum = (declaration: Declaration, owner: Package): boolean =>
  declaration.markers.some((marker) => marker === "enum" || marker.startsWith("kubebuilder:validation:Enum=")) &&
  (owner.enums.get(declaration.name)?.length ?? 0) > 0;

/** Imports that the TypeScript file being written needs, by package id. */
let imports = new Map<string, Set<string>>();

function reference(qualified: string, from: Package): string {
  const dot = qualified.lastIndexOf(".");
  const [owner, name] = [qualified.slice(0, dot), qualified.slice(dot + 1)];
  if (owner === from.id) return name;
  const local = from.declarations.has(name) ? `${pascal(owner)}${name}` : name;
  imports.set(owner, (imports.get(owner) ?? new Set()).add(local === name ? name : `${name} as ${local}`));
  return local;
}

const pascal = (id: string): string =>
  id
    .split(".")
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join("");

function resolve(goType: string, from: Package): Resolved {
  if (goType.startsWith("*")) {
    const inner = resolve(goType.slice(1), from);
    return { table: `*${inner.table}`, typescript: inner.typescript };
  }
  const known =
    special.get(goType) ?? special.get(goType.startsWith("[") || goType.startsWith("map") ? "" : qualify(goType, from));
  if (known !== undefined) {
    if (["Quantity", "Time", "MicroTime", "FieldsV1", "IntOrString", "RawExtension"].includes(known[1]))
      imports.set("scalars", (imports.get("scalars") ?? new Set()).add(known[1]));
    return { table: known[0], typescript: known[1] };
  }
  if (goType.startsWith("[]")) {
    const inner = resolve(goType.slice(2), from);
    return {
      table: `[]${inner.table}`,
      typescript: inner.typescript.includes(" ") ? `(${inner.typescript})[]` : `${inner.typescript}[]`,
    };
  }
  const map = /^map\[[\w.]+\](.*)$/.exec(goType);
  if (map?.[1] !== undefined) {
    const inner = resolve(map[1], from);
    return { table: `{}${inner.table}`, typescript: `Record<string, ${inner.typescript}>` };
  }
  const qualified = qualify(goType, from);
  const { declaration, owner } = lookUp(qualified);
  const typescript = reference(qualified, from);
  if (declaration.kind === "struct") return { table: qualified, typescript };
  if (isEnum(declaration, owner)) return { table: `#${qualified}`, typescript };
  const saved = imports;
  imports = new Map();
  const inner = resolve(declaration.goType, owner).table;
  imports = saved;
  // A named list has a message of its own on the wire.
  return { table: inner.startsWith("[]") ? `%${inner}` : inner, typescript };
}

const valueOf = (markers: readonly string[], key: string): string | undefined =>
  markers.find((marker) => marker.startsWith(`${key}=`))?.slice(key.length + 1);

function tableLine(field: Field, from: Package): string {
  const { table } = resolve(field.goType, from);
  const parts = [field.inline ? "-" : field.name, String(field.number), table];
  const flags = `${field.required ? "r" : ""}${field.omitEmpty ? "o" : ""}`;
  if (flags !== "") parts.push(flags);
  const strategy = field.patchStrategy ?? valueOf(field.markers, "patchStrategy");
  if (strategy !== undefined) parts.push(`p=${strategy}`);
  if (field.patchMergeKey !== undefined) parts.push(`k=${field.patchMergeKey}`);
  const listType = valueOf(field.markers, "listType");
  if (listType !== undefined) parts.push(`l=${listType}`);
  const keys = field.markers.filter((marker) => marker.startsWith("listMapKey=")).map((marker) => marker.slice(11));
  if (keys.length > 0) parts.push(`lk=${keys.join(",")}`);
  const mapType = valueOf(field.markers, "mapType") ?? valueOf(field.markers, "structType");
  if (mapType === "atomic") parts.push("a");
  const fallback = valueOf(field.markers, "default");
  if (fallback !== undefined) {
    const named = /^ref\((\w+)\)$/.exec(fallback)?.[1];
    parts.push(`d=${JSON.stringify(named === undefined ? JSON.parse(fallback) : from.constants.get(named))}`);
  }
  return parts.join(" ");
}

const isKind = (declaration: Declaration): boolean =>
  declaration.kind === "struct" &&
  declaration.fields.some((field) => field.inline && field.goType.endsWith("TypeMeta"));
const hasObjectMeta = (declaration: Declaration): boolean =>
  declaration.kind === "struct" &&
  declaration.fields.some((field) => field.name === "metadata" && field.goType.endsWith("ObjectMeta"));

/** Kinds whose spec the server may leave out, because each of its fields may be absent in a valid object. */
const specMayBeAbsent = new Set(["Namespace", "Node", "ResourceQuota", "LimitRange", "NetworkPolicy", "Lease"]);

function optional(field: Field, declaration: Declaration): boolean {
  const object = isKind(declaration) && hasObjectMeta(declaration);
  if (object && field.name === "metadata") return false;
  if (object && field.name === "spec") return specMayBeAbsent.has(declaration.name);
  if (declaration.name.endsWith("List") && isKind(declaration) && field.name === "metadata") return false;
  return !field.required;
}

function typescriptOf(declaration: Declaration, owner: Package): string {
  if (declaration.kind === "named") {
    if (isEnum(declaration, owner)) {
      const values = [...new Set(owner.enums.get(declaration.name))].map((value) => JSON.stringify(value));
      return `export type ${declaration.name} = ${values.join(" | ")};\n`;
    }
    return `export type ${declaration.name} = ${resolve(declaration.goType, owner).typescript};\n`;
  }
  const bases: string[] = [];
  const lines: string[] = [];
  for (const field of declaration.fields) {
    const { typescript } = resolve(field.goType, owner);
    if (field.inline) bases.push(typescript);
    else lines.push(`  ${field.name}${optional(field, declaration) ? "?" : ""}: ${typescript};\n`);
  }
  const heritage = bases.length === 0 ? "" : ` extends ${bases.join(", ")}`;
  return `export interface ${declaration.name}${heritage} {\n${lines.join("")}}\n`;
}

const genDir = join(import.meta.dirname, "../packages/api/gen/kubernetes");
rmSync(genDir, { recursive: true, force: true });
mkdirSync(join(genDir, "types"), { recursive: true });
const header = "// Made by tools/gen-kubernetes.ts; do not edit.\n";

const messages: Record<string, string> = {};
const enums: Record<string, string> = {};
const kinds: Record<string, string> = {};
const exported = new Map<string, string>();
let index = header;
for (const owner of all.values()) {
  imports = new Map();
  let body = "";
  const names: string[] = [];
  for (const declaration of owner.declarations.values()) {
    const qualified = `${owner.id}.${declaration.name}`;
    if (special.has(qualified)) continue;
    if (declaration.kind === "struct") {
      messages[qualified] = [
        declaration.fields.map((field) => tableLine(field, owner)).join(";"),
        declaration.markers.includes("structType=atomic") || declaration.markers.includes("mapType=atomic") ? "|a" : "",
      ].join("");
      if (isKind(declaration)) {
        const scope = !hasObjectMeta(declaration)
          ? "-"
          : declaration.markers.includes("genclient:nonNamespaced")
            ? "c"
            : "n";
        kinds[`${owner.id === "meta.v1" ? "meta" : owner.group}/${owner.version}/${declaration.name}`] =
          `${qualified} ${scope}`;
      }
    } else if (isEnum(declaration, owner)) enums[qualified] = [...new Set(owner.enums.get(declaration.name))].join("|");
    body += `\n${typescriptOf(declaration, owner)}`;
    names.push(declaration.name);
  }
  let head = header;
  for (const [id, list] of [...imports].sort(([a], [b]) => a.localeCompare(b)))
    head += `import type { ${[...list].sort().join(", ")} } from "./${id.replace(".", "-")}.ts";\n`;
  const file = `${owner.id.replace(".", "-")}.ts`;
  writeFileSync(join(genDir, "types", file), head + body);
  const list = names.map((name) => {
    const free = !exported.has(name);
    if (free) exported.set(name, owner.id);
    return free ? name : `${name} as ${pascal(owner.id)}${name}`;
  });
  index += `export type {\n${list.map((name) => `  ${name},\n`).join("")}} from "./types/${file}";\n`;
}
writeFileSync(
  join(genDir, "types", "scalars.ts"),
  `${header}
/** A number with a unit as text, such as "250m" or "1Gi"; see parseQuantity. */
export type Quantity = string;
/** RFC 3339, whole seconds, UTC. */
export type Time = string;
/** RFC 3339, microseconds, UTC. */
export type MicroTime = string;
export type IntOrString = number | string;
/** An object of a kind that the schema does not say. */
export type RawExtension = unknown;
/** A tree of owned fields: keys f:NAME, k:{KEYS}, v:VALUE, i:INDEX and "." for the thing itself. */
export interface FieldsV1 {
  [key: string]: FieldsV1;
}
`,
);
index += `export type { FieldsV1, IntOrString, MicroTime, Quantity, RawExtension, Time } from "./types/scalars.ts";\n`;
writeFileSync(join(genDir, "types.ts"), index);
writeFileSync(
  join(genDir, "tables.json"),
  `${JSON.stringify({ kinds, enums, messages }, undefined, 0).replaceAll('","', '",\n"')}\n`,
);
console.log(
  `${Object.keys(messages).length} messages, ${Object.keys(kinds).length} kinds, ${Object.keys(enums).length} enumerations`,
);
