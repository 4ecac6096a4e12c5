import type { Image } from "../image.ts";
import { mediaTypes } from "../spec/media-types.ts";

/** What an OCI layout's file oci-layout holds (OCI image spec, image-layout.md). */
export const layoutMarker = { imageLayoutVersion: "1.0.0" } as const;

/** The index.json of an OCI layout: an entry for each name of each image, and one for an image without names. */
export function layoutIndex(
  images: readonly { readonly image: Image; readonly tags: readonly string[] }[],
  /** What the entry of a name is called in the layout. */
  referenceOf: (tag: string) => string,
): object {
  return {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: images.flatMap(({ image, tags }) => {
      const { mediaType, digest, size } = image.manifest;
      const { os, architecture, variant } = image.config;
      const entry = {
        mediaType,
        digest,
        size,
        ...(image.artifact === undefined && {
          platform: { architecture, os, ...(variant === undefined ? {} : { variant }) },
        }),
      };
      if (tags.length === 0) return [entry];
      return tags.map((tag) => ({
        ...entry,
        annotations: { "io.containerd.image.name": tag, "org.opencontainers.image.ref.name": referenceOf(tag) },
      }));
    }),
  };
}
