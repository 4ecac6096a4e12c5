import { TripodError } from "@tripod/base";
import { LayoutFolder } from "../archive/layout-folder.ts";
import { layoutEntry, layoutMarker } from "../archive/layout-index.ts";
import { type LayoutBlob, layoutTar, writeArchive } from "../archive/layout-tar.ts";
import type { Digest } from "../digest.ts";
import type { OnProgress, RegistryAuth } from "../image.ts";
import type { Store } from "../images/store.ts";
import { formatReference, type ImageReference, repositoryOf } from "../reference.ts";
import { loadHosts } from "../registry/hosts-file.ts";
import { pushBlob } from "../registry/push-blob.ts";
import { pushManifest } from "../registry/push-document.ts";
import { RegistryClient } from "../registry/registry-client.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { mediaTypes } from "../spec/media-types.ts";
import { type CopyPlace, formatCopyPlace } from "./copy-place.ts";

/** What an image is copied to. Manifests come after what they name, the top one last. */
export interface CopyTarget extends Disposable {
  /** Takes a blob; `ensure` brings it into the content store, and is called only when it is needed. */
  blob(blob: Descriptor, ensure: () => Promise<void>): Promise<void>;
  manifest(descriptor: Descriptor, bytes: Buffer): Promise<void>;
  /** Gives the top manifest its name; returns the whole of it, with the digest. */
  finish(top: Descriptor, bytes: Buffer): Promise<string>;
}

export interface TargetOptions {
  readonly auth?: RegistryAuth | undefined;
  /** The repository that the blobs come from. */
  readonly from?: ImageReference | undefined;
  /** For a target that names none. */
  readonly tag: string | undefined;
  readonly signal: AbortSignal;
  readonly onProgress?: OnProgress | undefined;
}

export async function openTarget(store: Store, place: CopyPlace, options: TargetOptions): Promise<CopyTarget> {
  if (place.kind === "registry") {
    const tag = options.tag ?? place.reference.tag;
    const reference = place.hasTag || tag === undefined ? place.reference : { ...place.reference, tag };
    return registryTarget(store, reference, options);
  }
  const tag = place.tag ?? options.tag;
  return place.kind === "layout"
    ? layoutTarget(store, { path: place.path, tag })
    : archiveTarget(store, { path: place.path, tag, signal: options.signal });
}

async function registryTarget(
  store: Store,
  reference: ImageReference,
  { auth, from, signal, onProgress }: TargetOptions,
): Promise<CopyTarget> {
  const hosts = await loadHosts(store.layout.certsDir, reference.host);
  using stack = new DisposableStack();
  const client = stack.use(new RegistryClient({ reference, hosts, auth, signal }));
  const [session] = client.sessions("push");
  if (session === undefined) throw new TripodError("internal", `copy to ${reference.host}: no host takes uploads`);
  const { repository } = reference;
  const mountFrom = from?.host === reference.host && from.repository !== repository ? from.repository : undefined;
  const put = (bytes: Buffer, { mediaType }: Descriptor, tag: string): Promise<void> =>
    pushManifest(session, bytes, { repository, tag, mediaType, signal });
  const kept = stack.move();
  return {
    async blob(blob, ensure) {
      const tell = (state: "uploading" | "done" | "exists", doneBytes: number): void =>
        onProgress?.({ digest: blob.digest, sizeBytes: blob.size, doneBytes, state });
      const result = await pushBlob(session, blob, {
        repository,
        path: store.content.pathOf(blob.digest),
        prepare: ensure,
        mountFrom,
        signal,
        onBytes: (done) => tell("uploading", done),
      });
      tell(result === "uploaded" ? "done" : "exists", blob.size);
    },
    manifest: (descriptor, bytes) => put(bytes, descriptor, descriptor.digest),
    async finish(top, bytes) {
      if (reference.digest !== undefined && reference.digest !== top.digest) {
        throw new TripodError(
          "invalid",
          `copy to ${formatReference(reference)}: what is copied is ${top.digest}; give a tag, or that digest`,
        );
      }
      await put(bytes, top, reference.digest ?? reference.tag ?? "latest");
      return `${repositoryOf(reference)}@${top.digest}`;
    },
    [Symbol.dispose]: () => kept.dispose(),
  };
}

interface FilePlace {
  readonly path: string;
  readonly tag: string | undefined;
}

const nameOf = (kind: "layout" | "archive", place: FilePlace, top: Descriptor): string =>
  `${formatCopyPlace({ kind, ...place })}@${top.digest}`;

async function layoutTarget(store: Store, place: FilePlace): Promise<CopyTarget> {
  const folder = await LayoutFolder.open(place.path);
  return {
    async blob(blob, ensure) {
      if (await folder.has(blob)) return;
      await ensure();
      await folder.take(blob, store.content.pathOf(blob.digest));
    },
    manifest: (descriptor, bytes) => folder.put(descriptor, bytes),
    async finish(top, bytes) {
      await folder.put(top, bytes);
      await folder.add([layoutEntry(top, place.tag)]);
      return nameOf("layout", place, top);
    },
    [Symbol.dispose]: () => undefined,
  };
}

async function archiveTarget(
  store: Store,
  { signal, ...place }: FilePlace & { readonly signal: AbortSignal },
): Promise<CopyTarget> {
  const blobs = new Map<Digest, LayoutBlob>();
  const add = ({ digest, size }: Descriptor, content: string | Buffer): void => {
    blobs.set(digest, { digest, size, content });
  };
  return {
    async blob(blob, ensure) {
      await ensure();
      add(blob, store.content.pathOf(blob.digest));
    },
    manifest: async (descriptor, bytes) => add(descriptor, bytes),
    async finish(top, bytes) {
      add(top, bytes);
      const documents = [
        ["index.json", { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [layoutEntry(top, place.tag)] }],
        ["oci-layout", layoutMarker],
      ] as const;
      const target = place.path === "-" ? process.stdout : place.path;
      await writeArchive(layoutTar(blobs.values(), documents), target, signal);
      return nameOf("archive", place, top);
    },
    [Symbol.dispose]: () => undefined,
  };
}
