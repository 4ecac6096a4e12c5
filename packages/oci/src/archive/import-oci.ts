import { TripodError } from "@tripod/base";
import { hexOf } from "../digest.ts";
import type { Image } from "../image.ts";
import { Lease } from "../images/lease.ts";
import { recordArtifact, recordImage } from "../images/record-image.ts";
import type { Store } from "../images/store.ts";
import { parseReference, tagReferenceOf } from "../reference.ts";
import { artifactFiles, artifactTypeOf } from "../spec/artifact.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { parseImageConfig } from "../spec/image-config.ts";
import { isIndexType } from "../spec/media-types.ts";
import {
  checkRunnable,
  chooseManifest,
  type Index,
  type Manifest,
  maxConfigBytes,
  maxManifestBytes,
  parseManifest,
} from "../spec/manifest.ts";
import type { Platform } from "../spec/platform.ts";
import type { ArchiveFolder } from "./archive-folder.ts";
import type { ImportOptions } from "./import-archive.ts";

const blobMember = (blob: { readonly digest: Descriptor["digest"] }): string => `blobs/sha256/${hexOf(blob.digest)}`;

/** Imports what an OCI layout's index.json lists (OCI image spec, image-layout.md): one image for each name. */
export async function importOci(
  store: Store,
  folder: ArchiveFolder,
  options: ImportOptions & { readonly where: string; readonly wanted: Platform },
): Promise<Image[]> {
  const { where, wanted } = options;
  const index = parseManifest(await folder.read("index.json", maxManifestBytes), `${where}: index.json`);
  if (index.kind !== "index") throw new TripodError("invalid", `${where}: index.json is not an index`);
  const count = new Set(index.manifests.map(({ digest }) => digest)).size;
  if (isTagged(options.name) && count > 1) {
    const why = `holds ${count} images, which cannot all be ${options.name}; give a name without a tag, or none`;
    throw new TripodError("invalid", `${where}: ${why}`);
  }
  const images: Image[] = [];
  for (const entry of index.manifests) {
    const found = await manifestOf(folder, entry, { where, wanted });
    if (found === undefined) continue;
    const { manifest, bytes } = found;
    const artifactType = artifactTypeOf(manifest);
    if (artifactType === undefined) checkRunnable(manifest, where);
    else artifactFiles(manifest.layers, where);
    const names = namesOf(entry, options.name);
    using lease = new Lease(store.records);
    lease.hold([manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)]);
    for (const blob of [manifest.config, ...manifest.layers]) {
      if (await store.content.has(blob)) continue;
      await using ingest = await store.content.ingest(blob, options);
      if (ingest !== undefined) await folder.ingest(blobMember(blob), ingest);
      options.onProgress?.({ digest: blob.digest, sizeBytes: blob.size, doneBytes: blob.size, state: "downloaded" });
    }
    if (artifactType !== undefined) {
      const artifact = { lease, type: artifactType, manifest, manifestBytes: bytes, names };
      images.push(await recordArtifact(store, artifact));
      continue;
    }
    const configBytes = await store.content.read(manifest.config.digest, maxConfigBytes);
    if (configBytes === undefined)
      throw new TripodError("aborted", `${where}: config was damaged on the disk; try again`);
    const config = parseImageConfig(configBytes, `${where}: config`);
    if (config.rootfs.diff_ids.length !== manifest.layers.length) {
      throw new TripodError(
        "invalid",
        `${where}: has ${manifest.layers.length} layers, its config speaks of ${config.rootfs.diff_ids.length}`,
      );
    }
    images.push(
      await recordImage(store, {
        lease,
        configBytes,
        config,
        layers: manifest.layers,
        manifest: { bytes, mediaType: manifest.mediaType, configType: manifest.config.mediaType },
        names,
        signal: options.signal,
        onProgress: options.onProgress,
      }),
    );
  }
  return images;
}

async function manifestOf(
  folder: ArchiveFolder,
  entry: Descriptor,
  { where, wanted }: { readonly where: string; readonly wanted: Platform },
): Promise<{ readonly manifest: Manifest; readonly bytes: Buffer } | undefined> {
  let descriptor = entry;
  for (let depth = 0; depth < 4; depth += 1) {
    // An archive may name blobs of other platforms that it does not hold.
    if (depth === 0 && (await folder.find(blobMember(descriptor))) === undefined) {
      throw new TripodError("invalid", `${where}: ${descriptor.digest} is missing; the archive is not whole`);
    }
    const bytes = await folder.read(blobMember(descriptor), maxManifestBytes);
    const document: Manifest | Index = parseManifest(bytes, `${where}: ${descriptor.digest}`, descriptor.mediaType);
    if (document.kind === "manifest") return { manifest: document, bytes };
    descriptor = chooseManifest(document, wanted, where);
  }
  throw new TripodError("invalid", `${where}: indexes are nested too deep`);
}

const isTagged = (name: string | undefined): boolean => name !== undefined && /[:@][^/]*$/.test(name);

/**
 * The names that an entry's annotations give: containerd's is whole, OCI's may be a tag alone. A name of the caller's stands for them; one
 * without a tag gets the entry's.
 */
function namesOf({ annotations = {}, mediaType }: Descriptor, given: string | undefined): string[] {
  const whole = annotations["io.containerd.image.name"];
  const reference = annotations["org.opencontainers.image.ref.name"];
  const own = given !== undefined && !isTagged(given) && bareTag(reference) ? `${given}:${reference}` : given;
  const text = own ?? whole ?? reference;
  if (text === undefined || (isIndexType(mediaType) && text === "")) return [];
  const name = tagReferenceOf(parseReference(text));
  return name === undefined ? [] : [name];
}

const bareTag = (reference: string | undefined): boolean =>
  reference !== undefined && /^[\w][\w.-]{0,127}$/.test(reference);
