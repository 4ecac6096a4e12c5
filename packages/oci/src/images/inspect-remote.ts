import { TripodError } from "@tripod/base";
import type { Digest } from "../digest.ts";
import type { RegistryAuth } from "../image.ts";
import { parseReference, repositoryOf } from "../reference.ts";
import { loadHosts } from "../registry/hosts-file.ts";
import { RegistryClient } from "../registry/registry-client.ts";
import { artifactTypeOf } from "../spec/artifact.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { type ImageConfig, parseImageConfig } from "../spec/image-config.ts";
import { maxConfigBytes, maxManifestBytes, parseManifest } from "../spec/manifest.ts";
import { formatPlatform, parsePlatform } from "../spec/platform.ts";
import { Lease } from "./lease.ts";
import { resolveManifest } from "./resolve-manifest.ts";
import type { Store } from "./store.ts";

export interface InspectRemoteOptions {
  readonly auth?: RegistryAuth | undefined;
  readonly platform?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a registry says of an image; none of its layers is fetched. */
export interface RemoteImage {
  /** The config's digest, by which the image would be known here; an artifact's is its manifest's. */
  readonly id: Digest;
  /** "host/repository@digest" of what the name means: of the index if it is one. */
  readonly repoDigests: readonly string[];
  readonly sizeBytes: number;
  /** Absent for an artifact. */
  readonly config?: ImageConfig;
  readonly artifactType?: string;
  readonly manifest: Descriptor;
  readonly layers: readonly Descriptor[];
  /** Of the index, when it is one. */
  readonly platforms?: readonly string[];
  /** Bytes as they are: what the name means, and the config. */
  readonly raw: { readonly manifest: Buffer; readonly config: Buffer };
}

/** Asks a registry what a name means there. */
export async function inspectRemote(
  store: Store,
  name: string,
  { auth, platform, signal }: InspectRemoteOptions = {},
): Promise<RemoteImage> {
  const reference = parseReference(name);
  const whole = `inspect ${name}`;
  const hosts = await loadHosts(store.layout.certsDir, reference.host);
  using client = new RegistryClient({ reference, hosts, auth, signal });
  using lease = new Lease(store.records);
  const target = reference.digest ?? (await client.resolve(reference.tag ?? "latest")).digest;
  const wanted = parsePlatform(platform);
  const { manifest, descriptor } = await resolveManifest(store, { client, lease, target, platform: wanted, whole });
  const config = await client.document(manifest.config, maxConfigBytes);
  const top = await store.content.read(target, maxManifestBytes);
  if (top === undefined) throw new TripodError("aborted", `${whole}: was damaged on the disk; try again`);
  const document = parseManifest(top, whole);
  const artifactType = artifactTypeOf(manifest);
  return {
    id: artifactType === undefined ? manifest.config.digest : descriptor.digest,
    repoDigests: [`${repositoryOf(reference)}@${target}`],
    sizeBytes: manifest.layers.reduce((sum, { size }) => sum + size, descriptor.size + manifest.config.size),
    ...(artifactType === undefined ? { config: parseImageConfig(config, `${whole}: config`) } : { artifactType }),
    manifest: descriptor,
    layers: manifest.layers,
    ...(document.kind === "index" && {
      platforms: document.manifests.flatMap((item) =>
        item.platform === undefined ? [] : formatPlatform(item.platform),
      ),
    }),
    raw: { manifest: top, config },
  };
}
