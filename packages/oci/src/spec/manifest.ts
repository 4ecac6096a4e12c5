import { TripodError } from "@tripod/base";
import { type Descriptor, parseDescriptor } from "./descriptor.ts";
import { arrayAt, objectAt, optionalStringAt, parseJson } from "./json.ts";
import { isConfigType, isIndexType, isLayerType, isManifestType } from "./media-types.ts";
import { formatPlatform, type Platform, platformRank } from "./platform.ts";

/** No registry takes larger manifests. */
export const maxManifestBytes = 4 * 1024 * 1024;

/** A config is as bounded as a manifest, with room for long histories. */
export const maxConfigBytes = 8 * 1024 * 1024;

/** One image for one platform (OCI image spec, manifest.md). */
export interface Manifest {
  readonly kind: "manifest";
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  /** What it holds when it is no container image; "" where it does not say. */
  readonly artifactType: string;
}

/** A choice of manifests (OCI image spec, image-index.md). */
export interface Index {
  readonly kind: "index";
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
}

/** Checks a manifest or index. `type` is what the registry calls it; the document's own word comes first. */
export function parseManifest(bytes: Uint8Array, where: string, type = ""): Manifest | Index {
  const object = objectAt(parseJson(bytes, where), where);
  if (object.schemaVersion !== 2) {
    const old = object.schemaVersion === 1;
    throw new TripodError(
      old ? "unimplemented" : "invalid",
      old
        ? `${where}: is in docker's schema 1, which no runtime takes any more; push the image again with a newer tool`
        : `${where}: schemaVersion must be 2`,
    );
  }
  const mediaType = optionalStringAt(object.mediaType, `${where}.mediaType`) ?? type;
  const hasManifests = object.manifests != null;
  const hasConfig = object.config != null;
  // A document that could be read as both has been used to show different images to different tools (CVE-2021-41190).
  if (hasManifests && (hasConfig || object.layers != null)) {
    throw new TripodError("invalid", `${where}: is a manifest and an index at once; the image is refused`);
  }
  if (hasManifests ? isManifestType(mediaType) : isIndexType(mediaType)) {
    throw new TripodError("invalid", `${where}: is not what its media type ${mediaType} says; the image is refused`);
  }
  if (hasManifests) {
    return {
      kind: "index",
      mediaType,
      manifests: arrayAt(object.manifests, `${where}.manifests`, 1000).map((item, index) =>
        parseDescriptor(item, `${where}.manifests[${index}]`),
      ),
    };
  }
  return {
    kind: "manifest",
    mediaType,
    artifactType: optionalStringAt(object.artifactType, `${where}.artifactType`) ?? "",
    config: parseDescriptor(object.config, `${where}.config`),
    layers: arrayAt(object.layers, `${where}.layers`, 500).map((item, index) =>
      parseDescriptor(item, `${where}.layers[${index}]`),
    ),
  };
}

/** Refuses what is a manifest but no container image (charts, signatures, models), or has layers that nothing here unpacks. */
export function checkRunnable(manifest: Manifest, where: string): void {
  const { mediaType } = manifest.config;
  if (mediaType !== "" && !isConfigType(mediaType)) {
    throw new TripodError("invalid", `${where}: is not a container image, its config is ${mediaType}`);
  }
  for (const layer of manifest.layers) {
    if (!isLayerType(layer.mediaType)) {
      throw new TripodError(
        "unimplemented",
        `${where}: layer ${layer.digest} is ${layer.mediaType || "of no type"}, which cannot be unpacked`,
      );
    }
  }
}

/** The manifest of an index that fits `wanted` best. */
export function chooseManifest(index: Index, wanted: Platform, where: string): Descriptor {
  let best: { descriptor: Descriptor; rank: number } | undefined;
  for (const descriptor of index.manifests) {
    if (!(isManifestType(descriptor.mediaType) || isIndexType(descriptor.mediaType) || descriptor.mediaType === ""))
      continue;
    // Entries without a platform come last: their config would tell, and usually there is only one.
    const rank = descriptor.platform === undefined ? -1 : platformRank(wanted, descriptor.platform);
    if (rank !== undefined && (best === undefined || rank > best.rank)) best = { descriptor, rank };
  }
  if (best !== undefined) return best.descriptor;
  const offered = index.manifests.flatMap((item) => (item.platform === undefined ? [] : formatPlatform(item.platform)));
  throw new TripodError(
    "not-found",
    `${where}: has no image for ${formatPlatform(wanted)}, only for ${offered.slice(0, 20).join(", ") || "nothing"}`,
  );
}
