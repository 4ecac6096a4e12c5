import type { Image } from "../image.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { mediaTypes } from "../spec/media-types.ts";

/** What an OCI layout's file oci-layout holds (OCI image spec, image-layout.md). */
export const layoutMarker = { imageLayoutVersion: "1.0.0" } as const;

/** What index.json says of a manifest: `reference` is its name in the layout, `image` the whole one. */
export interface LayoutEntry extends Pick<Descriptor, "mediaType" | "digest" | "size" | "platform"> {
  readonly annotations?: Readonly<Record<string, string>>;
}

export const referenceKey = "org.opencontainers.image.ref.name";
export const imageNameKey = "io.containerd.image.name";

/** The entry of a manifest under a name in the layout, if it has one. */
export function layoutEntry({ mediaType, digest, size, platform }: Descriptor, reference?: string): LayoutEntry {
  return {
    mediaType,
    digest,
    size,
    ...(platform !== undefined && { platform }),
    ...(reference !== undefined && { annotations: { [referenceKey]: reference } }),
  };
}

/** An entry for each name of each image, and one for an image without names. */
export function layoutEntries(
  images: readonly { readonly image: Image; readonly tags: readonly string[] }[],
  /** What the entry of a name is called in the layout. */
  referenceOf: (tag: string) => string,
): LayoutEntry[] {
  return images.flatMap(({ image, tags }) => {
    const { os, architecture, variant } = image.config;
    const platform = { architecture, os, ...(variant === undefined ? {} : { variant }) };
    const entry = layoutEntry({ ...image.manifest, ...(image.artifact === undefined && { platform }) });
    if (tags.length === 0) return [entry];
    return tags.map((tag) => ({ ...entry, annotations: { [imageNameKey]: tag, [referenceKey]: referenceOf(tag) } }));
  });
}

/** The index.json of an OCI layout. */
export function layoutIndex(
  images: readonly { readonly image: Image; readonly tags: readonly string[] }[],
  referenceOf: (tag: string) => string,
): object {
  return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: layoutEntries(images, referenceOf) };
}
