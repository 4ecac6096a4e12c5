import { TripodError } from "@tripod/base";
import type { Descriptor } from "./descriptor.ts";
import type { ImageConfig } from "./image-config.ts";
import type { Manifest } from "./manifest.ts";
import { isConfigType } from "./media-types.ts";

/** What is no container image, but files that a registry keeps (OCI image spec, manifest.md, "Guidelines for Artifact Usage"). */
export interface Artifact {
  /** The manifest's artifactType, else its config's media type. */
  readonly type: string;
  readonly files: readonly ArtifactFile[];
}

export interface ArtifactFile {
  /** Where it lies in a volume: relative, with folders maybe, never outside. No two files are at one path, or one above another. */
  readonly path: string;
  /** Its bytes, as they come: nothing is unpacked. */
  readonly blob: Descriptor;
}

/** What an artifact calls itself; undefined for a container image. */
export function artifactTypeOf({ artifactType, config }: Manifest): string | undefined {
  if (config.mediaType === "" || isConfigType(config.mediaType)) return undefined;
  return artifactType === "" ? config.mediaType : artifactType;
}

/** Stands for the config of an artifact, which says nothing about running it. */
export const artifactConfig: ImageConfig = {
  architecture: "",
  os: "",
  rootfs: { type: "layers", diff_ids: [] },
};

const titleKey = "org.opencontainers.image.title";

/** The files of an artifact, named by their title annotations; one without a title is named by the hex digits of its digest. */
export function artifactFiles(layers: readonly Descriptor[], where: string): ArtifactFile[] {
  const files = layers.map((blob) => ({
    path: blob.annotations?.[titleKey] || blob.digest.slice(blob.digest.indexOf(":") + 1),
    blob,
  }));
  const taken = new Set<string>();
  const folders = new Set<string>();
  const refuse = (path: string, why: string): TripodError =>
    new TripodError(
      "invalid",
      `${where}: its file ${JSON.stringify(path.slice(0, 200))} ${why}; the artifact is refused`,
    );
  for (const { path } of files) {
    const parts = path.split("/");
    const isName = (part: string): boolean =>
      part !== "" && part !== "." && part !== ".." && !part.includes("\0") && Buffer.byteLength(part) <= 255;
    if (path.length > 1024 || !parts.every(isName)) throw refuse(path, "has a name that is no path inside a volume");
    if (taken.has(path)) throw refuse(path, "is there twice");
    taken.add(path);
    for (let depth = 1; depth < parts.length; depth += 1) folders.add(parts.slice(0, depth).join("/"));
  }
  for (const path of taken) if (folders.has(path)) throw refuse(path, "is a folder of another file");
  return files;
}
