/** The struct and constant declarations of Go files, as far as Kubernetes' API types use the language. */
import { readFileSync } from "node:fs";

export interface Field {
  name: string;
  goType: string;
  number: number;
  inline: boolean;
  required: boolean;
  omitEmpty: boolean;
  patchStrategy: string | undefined;
  patchMergeKey: string | undefined;
  markers: string[];
}
export type Declaration =
  | { kind: "struct"; name: string; fields: Field[]; markers: string[] }
  | { kind: "named"; name: string; goType: string; markers: string[] };
export interface Package {
  /** As in the tables: "core.v1", "meta.v1". */
  readonly id: string;
  readonly group: string;
  readonly version: string;
  readonly declarations: Map<string, Declaration>;
  /** Values of typed string constants, by type name; and every constant by its own name. */
  readonly enums: Map<string, string[]>;
  readonly constants: Map<string, string>;
  /** Package id by the name that the files import it under. */
  readonly imports: Map<string, string>;
}

const tagOf = (tags: string, key: string): string | undefined => new RegExp(`\\b${key}:"([^"]*)"`).exec(tags)?.[1];

/** Reads the declarations of one package. `customImports`: package ids by import path, of what is not under k8s.io. */
export function parsePackage(
  named: Pick<Package, "id" | "group" | "version">,
  files: readonly string[],
  customImports: ReadonlyMap<string, string> = new Map(),
): Package {
  const parsed: Package = {
    ...named,
    declarations: new Map(),
    enums: new Map(),
    constants: new Map(),
    imports: new Map(),
  };
  for (const file of files) parseFile(readFileSync(file, "utf8"), parsed, customImports);
  return parsed;
}

function parseFile(text: string, into: Package, customImports: ReadonlyMap<string, string>): void {
  let markers: string[] = [];
  let struct: Extract<Declaration, { kind: "struct" }> | undefined;
  let inConstants = false;
  for (const line of text.split("\n")) {
    const imported = /^\t(?:(\w+) )?"k8s\.io\/(?:api|apimachinery\/pkg\/apis)\/(\w+)\/(\w+)"$/.exec(line);
    if (imported) into.imports.set(imported[1] ?? imported[3] ?? "", `${imported[2]}.${imported[3]}`);
    const custom = /^\t(\w+) "(github\.com\/[^"]+)"$/.exec(line);
    const customId = customImports.get(custom?.[2] ?? "");
    if (custom?.[1] !== undefined && customId !== undefined) into.imports.set(custom[1], customId);
    const comment = /^\s*\/\/ ?(.*)$/.exec(line);
    if (comment) {
      if (comment[1]?.startsWith("+")) markers.push(comment[1].slice(1).trim());
      continue;
    }
    if (struct !== undefined) {
      if (line === "}") {
        into.declarations.set(struct.name, struct);
        struct = undefined;
      } else {
        const field = parseField(line, markers);
        if (field !== undefined) struct.fields.push(field);
      }
      markers = [];
      continue;
    }
    if (inConstants) {
      if (line === ")") inConstants = false;
      const constant = /^\t(\w+)\s+(\w+)?\s*=\s*"([^"]*)"/.exec(line);
      if (constant) addConstant(into, constant[1], constant[2], constant[3]);
      markers = [];
      continue;
    }
    if (line === "") {
      // Markers of a type may stand a blank line above its comment.
      continue;
    }
    const open = /^type (\w+) struct \{$/.exec(line);
    const empty = /^type (\w+) struct ?\{\}$/.exec(line);
    const named = /^type (\w+) (=?) ?(\S+)$/.exec(line);
    const single = /^const (\w+)\s+(\w+)?\s*=\s*"([^"]*)"/.exec(line);
    if (open?.[1] !== undefined) struct = { kind: "struct", name: open[1], fields: [], markers };
    else if (empty?.[1] !== undefined)
      into.declarations.set(empty[1], { kind: "struct", name: empty[1], fields: [], markers });
    else if (named?.[1] !== undefined && named[3] !== undefined)
      into.declarations.set(named[1], { kind: "named", name: named[1], goType: named[3], markers });
    else if (line === "const (") inConstants = true;
    else if (single) addConstant(into, single[1], single[2], single[3]);
    markers = [];
  }
}

function addConstant(into: Package, name = "", type: string | undefined, value = ""): void {
  into.constants.set(name, value);
  if (type !== undefined) into.enums.set(type, [...(into.enums.get(type) ?? []), value]);
}

function parseField(line: string, markers: string[]): Field | undefined {
  const match = /^\t(?:(\w+)\s+)?(\S+)\s+`([^`]*)`/.exec(line);
  if (match?.[2] === undefined || match[3] === undefined) return undefined;
  const tags = match[3];
  const json = tagOf(tags, "json");
  if (json === undefined || json === "-") return undefined;
  const [name = "", ...options] = json.split(",");
  const wire = tagOf(tags, "protobuf");
  const omitEmpty = options.includes("omitempty") || options.includes("omitzero");
  return {
    name,
    goType: match[2],
    number: wire === undefined || wire === "-" ? 0 : Number(wire.split(",")[1]),
    inline: name === "",
    required: !omitEmpty && !markers.includes("optional"),
    omitEmpty,
    patchStrategy: tagOf(tags, "patchStrategy"),
    patchMergeKey: tagOf(tags, "patchMergeKey"),
    markers,
  };
}
