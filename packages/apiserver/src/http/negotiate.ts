import { protobufContentType } from "@tripod/api/kubernetes";
import type { IncludeObject } from "../table/table.ts";

/** How objects of a reply are to be written. */
export type Format =
  | { readonly kind: "object" }
  | { readonly kind: "table"; readonly version: string; readonly includeObject: IncludeObject }
  /** Metadata alone (PartialObjectMetadata). */
  | { readonly kind: "partial"; readonly version: string };

/** One entry of an Accept header. */
export interface MediaRange {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** Accept headers are read this far. */
const longest = 4096;

const parseAccept = (accept: string | undefined): MediaRange[] =>
  (accept ?? "*/*")
    .slice(0, longest)
    .split(",")
    .map((part) => {
      const [type = "", ...parameters] = part.split(";").map((piece) => piece.trim());
      const pairs = parameters.map((each): [string, string] => {
        const equals = each.indexOf("=");
        return equals < 0 ? [each, ""] : [each.slice(0, equals), each.slice(equals + 1)];
      });
      return { type: type.toLowerCase(), parameters: new Map(pairs) };
    });

const isJson = (type: string): boolean => ["application/json", "application/*", "*/*"].includes(type);

/** The first form in the Accept header that we can write. Objects are never sent as protobuf: every client takes JSON as well. */
export function negotiate(accept: string | undefined, query: URLSearchParams): Format {
  for (const { type, parameters } of parseAccept(accept)) {
    if (!isJson(type)) continue;
    const as = parameters.get("as");
    const version = parameters.get("v") ?? "v1";
    if (as === undefined) return { kind: "object" };
    if (parameters.get("g") !== "meta.k8s.io" || (version !== "v1" && version !== "v1beta1")) continue;
    if (as === "Table") {
      const asked = query.get("includeObject");
      return { kind: "table", version, includeObject: asked === "None" || asked === "Object" ? asked : "Metadata" };
    }
    if (as === "PartialObjectMetadata" || as === "PartialObjectMetadataList") return { kind: "partial", version };
  }
  return { kind: "object" };
}

/** Nothing but protobuf would be understood, which some kinds are not written in. */
export const wantsProtobufAlone = (accept: string | undefined): boolean =>
  parseAccept(accept).every(({ type }) => type === protobufContentType);

/** The version of a JSON form (such as g=apidiscovery.k8s.io;as=APIGroupDiscoveryList) that the client prefers over plain JSON. */
export function preferredVersion(accept: string | undefined, group: string, as: string): string | undefined {
  for (const { type, parameters } of parseAccept(accept)) {
    if (!isJson(type)) continue;
    if (!parameters.has("as")) return undefined;
    if (parameters.get("g") === group && parameters.get("as") === as) return parameters.get("v");
  }
  return undefined;
}
