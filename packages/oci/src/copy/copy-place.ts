import { TripodError } from "@tripod/base";
import { type ImageReference, parseReference } from "../reference.ts";

/** Where an image is copied from or to. */
export type CopyPlace =
  | { readonly kind: "registry"; readonly reference: ImageReference; readonly hasTag: boolean }
  /** A folder in OCI image layout, or a tar of one; "-" is standard input or output. */
  | { readonly kind: "layout" | "archive"; readonly path: string; readonly tag: string | undefined };

const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/** Reads "registry/name:tag", "oci:FOLDER[:TAG]" or "oci-archive:FILE[:TAG]"; a tag has no slash in it. */
export function parseCopyPlace(text: string): CopyPlace {
  const match = /^(docker:\/\/|oci:|oci-archive:)(.*)$/s.exec(text);
  const [, scheme = "docker://", rest = text] = match ?? [];
  if (scheme === "docker://") {
    const named = rest.slice(rest.lastIndexOf("/") + 1);
    return { kind: "registry", reference: parseReference(rest), hasTag: /[:@]/.test(named) };
  }
  const colon = rest.lastIndexOf(":");
  const isTag = colon > rest.lastIndexOf("/") && colon !== -1;
  const tag = isTag ? rest.slice(colon + 1) : undefined;
  const path = isTag ? rest.slice(0, colon) : rest;
  if (path === "")
    throw new TripodError("invalid", `copy: ${JSON.stringify(text)} names no ${scheme === "oci:" ? "folder" : "file"}`);
  if (tag !== undefined && !tagPattern.test(tag))
    throw new TripodError("invalid", `copy: ${JSON.stringify(tag)} in ${JSON.stringify(text)} is not a tag`);
  return { kind: scheme === "oci:" ? "layout" : "archive", path, tag };
}

/** The place as people write it. */
export function formatCopyPlace(place: CopyPlace): string {
  if (place.kind === "registry") {
    const { host, repository, tag, digest } = place.reference;
    return `${host}/${repository}${digest === undefined ? `:${tag}` : `@${digest}`}`;
  }
  return `${place.kind === "layout" ? "oci" : "oci-archive"}:${place.path}${place.tag === undefined ? "" : `:${place.tag}`}`;
}
