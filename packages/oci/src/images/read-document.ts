import { TripodError } from "@tripod/base";
import { parseReference, repositoryOf } from "../reference.ts";
import { maxConfigBytes, maxManifestBytes } from "../spec/manifest.ts";
import type { Store } from "./store.ts";

/** The bytes of what a name means, or of an image's config. */
export async function readDocument(store: Store, nameOrId: string, kind: "manifest" | "config"): Promise<Buffer> {
  const { records, content } = store;
  const id = records.idOf(nameOrId);
  const image = id === undefined ? undefined : records.images.get(id);
  if (id === undefined || image === undefined) throw new TripodError("not-found", `read ${nameOrId}: no such image`);
  const [top = image.manifest.digest] = id.slice(7).startsWith(nameOrId.replace(/^sha256:/, ""))
    ? []
    : (records.names.get(keyOf(nameOrId))?.documents ?? []);
  const digest = kind === "config" ? image.configDescriptor.digest : top;
  const bytes = await content.read(digest, kind === "config" ? maxConfigBytes : maxManifestBytes);
  if (bytes !== undefined) return bytes;
  throw new TripodError("failed-precondition", `read ${nameOrId}: its ${kind} ${digest} is lost; pull the image again`);
}

function keyOf(name: string): string {
  const reference = parseReference(name);
  const { digest, tag } = reference;
  return `${repositoryOf(reference)}${digest === undefined ? `:${tag}` : `@${digest}`}`;
}
