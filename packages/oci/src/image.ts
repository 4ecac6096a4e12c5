import type { Digest } from "./digest.ts";
import type { Artifact } from "./spec/artifact.ts";
import type { ImageConfig } from "./spec/image-config.ts";
import type { Descriptor } from "./spec/descriptor.ts";

/** An image that is in the store whole: its manifest, config and layers, ready to run. */
export interface Image {
  /** The digest of the config, which CRI and docker call the image's id; of an artifact, the manifest's. */
  readonly id: Digest;
  /** Normalised, sorted: "docker.io/library/busybox:latest". */
  readonly repoTags: readonly string[];
  /** Normalised, sorted: "docker.io/library/busybox@sha256:…" (the digest that the registry gave, of an index if it was one). */
  readonly repoDigests: readonly string[];
  /** What manifest, config and layers weigh as blobs (compressed). */
  readonly sizeBytes: number;
  readonly config: ImageConfig;
  /** The chain id of the topmost layer; the digest of nothing for an image without layers. */
  readonly chainId: Digest;
  /** Never removed by garbage collection of images. */
  readonly pinned: boolean;
  readonly manifest: Descriptor;
  readonly layers: readonly Descriptor[];
  /** It came to be usable before it was whole; Images.lazyLayers() tells what is still coming. */
  readonly lazy?: true;
  /** Why the last pull that was asked to let containers start early fetched all of it first; undefined when it did not. */
  readonly wholeBecause?: string;
  /** Only of artifacts: files that are mounted as a volume, and never run. Their config here is empty. */
  readonly artifact?: Artifact;
}

/** CRI's AuthConfig: what to show a registry. All empty or missing is anonymous. */
export interface RegistryAuth {
  readonly username?: string;
  readonly password?: string;
  /** base64 of "username:password", as in docker's config.json. */
  readonly auth?: string;
  /** Exchanged for an access token at the registry's token server (OAuth2 refresh token). */
  readonly identityToken?: string;
  /** Sent as bearer token as it is. */
  readonly registryToken?: string;
  /** The registry that these are for; another host never gets them. The reference's own host unless told. */
  readonly serverAddress?: string;
}

/** How far one layer (or other blob) of a pull, push or import is. */
export interface LayerProgress {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly doneBytes: number;
  readonly state: "waiting" | "downloading" | "downloaded" | "unpacking" | "done" | "exists" | "uploading";
}

export type OnProgress = (progress: LayerProgress) => void;

export interface PullOptions {
  readonly auth?: RegistryAuth;
  /** "os/arch[/variant]"; this machine's unless told. */
  readonly platform?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
  /** Let containers start before the image is whole, where it and this machine can; else it is fetched as ever, and `wholeBecause` says why. */
  readonly lazy?: LazyPullOptions;
}

export interface LazyPullOptions {
  /** How long a container that reads what is not there waits for a registry that cannot be reached, until it gets EIO; 60,000 unless told. */
  readonly patienceMs?: number;
}

/** Bytes on the disk and number of files, folders and the like. */
export interface DiskUsage {
  readonly bytes: number;
  readonly inodes: number;
}

/** A container's root file system. */
export interface Rootfs {
  readonly containerId: string;
  readonly imageId: Digest;
  /** Where it is mounted (after prepareRootfs). */
  readonly rootfs: string;
}
