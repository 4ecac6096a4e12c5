import type { IncludeObject, TableRequest } from "../table/table.ts";

/** How a reply is to be written. */
export type Format =
  | { readonly kind: "object" }
  | { readonly kind: "table"; readonly table: TableRequest }
  | { readonly kind: "partial"; readonly version: string };

interface MediaType {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const parseAccept = (accept: string): MediaType[] =>
  accept
    .slice(0, 4096)
    .split(",")
    .map((part) => {
      const [type = "", ...parameters] = part.split(";").map((piece) => piece.trim());
      return {
        type,
        parameters: new Map(parameters.map((each) => [each.split("=")[0] ?? "", each.split("=")[1] ?? ""])),
      };
    });

/** The first form of the Accept header that we can write. Protobuf replies are never sent: every client takes JSON as well. */
export function negotiate(accept: string, query: URLSearchParams): Format {
  for (const { type, parameters } of parseAccept(accept)) {
    if (type !== "application/json" && type !== "*/*" && type !== "application/*") continue;
    const as = parameters.get("as");
    const version = parameters.get("v") ?? "v1";
    if (as === undefined) return { kind: "object" };
    if (parameters.get("g") !== "meta.k8s.io" || (version !== "v1" && version !== "v1beta1")) continue;
    if (as === "Table") {
      const asked = query.get("includeObject");
      const includeObject: IncludeObject = asked === "None" || asked === "Object" ? asked : "Metadata";
      return { kind: "table", table: { version, includeObject } };
    }
    if (as === "PartialObjectMetadata" || as === "PartialObjectMetadataList") return { kind: "partial", version };
  }
  return { kind: "object" };
}

/** Whether the client takes one of these media types, and which first. */
export function acceptsAs(accept: string, group: string, as: string): string | undefined {
  for (const { type, parameters } of parseAccept(accept)) {
    if (type === "application/json" && parameters.get("g") === group && parameters.get("as") === as)
      return parameters.get("v");
    if (type === "application/json" && !parameters.has("as")) return undefined;
  }
  return undefined;
}
