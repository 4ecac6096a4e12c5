import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { TripodError } from "@tripod/base";
import { ArchiveFolder } from "../archive/archive-folder.ts";
import { imageNameKey, referenceKey } from "../archive/layout-index.ts";
import { spoolInput } from "../archive/spool-input.ts";
import { digestOf, hexOf } from "../digest.ts";
import type { OnProgress, RegistryAuth } from "../image.ts";
import { ensureBlob, needBlob } from "../images/ensure-blob.ts";
import type { Store } from "../images/store.ts";
import type { ImageReference } from "../reference.ts";
import { loadHosts } from "../registry/hosts-file.ts";
import { RegistryClient } from "../registry/registry-client.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { maxManifestBytes, parseManifest } from "../spec/manifest.ts";
import { type CopyPlace, formatCopyPlace } from "./copy-place.ts";

/** What an image is copied from. */
export interface CopySource extends AsyncDisposable {
  /** The index or manifest that the name means. */
  readonly top: Descriptor;
  /** A repository of a registry, when it is one: its blobs may be taken over there. */
  readonly repository?: ImageReference;
  /** The tag by which it was found. */
  readonly tag: string | undefined;
  /** A manifest's or an index's bytes, verified. */
  document(descriptor: Descriptor): Promise<Buffer>;
  /** Brings a blob into the content store. The caller's lease holds it. */
  ensure(blob: Descriptor): Promise<void>;
}

export interface SourceOptions {
  readonly auth?: RegistryAuth | undefined;
  readonly signal: AbortSignal;
  readonly onProgress?: OnProgress | undefined;
}

export function openSource(store: Store, place: CopyPlace, options: SourceOptions): Promise<CopySource> {
  return place.kind === "registry" ? openRegistry(store, place.reference, options) : openLayout(store, place, options);
}

async function openRegistry(
  store: Store,
  reference: ImageReference,
  { auth, signal, onProgress }: SourceOptions,
): Promise<CopySource> {
  const hosts = await loadHosts(store.layout.certsDir, reference.host);
  await using stack = new AsyncDisposableStack();
  const client = stack.use(new RegistryClient({ reference, hosts, auth, signal }));
  const digest = reference.digest ?? (await client.resolve(reference.tag ?? "latest")).digest;
  const { bytes, mediaType } = await client.manifest(digest);
  const type = parseManifest(bytes, digest, mediaType).mediaType;
  const kept = stack.move();
  return {
    top: { mediaType: type, digest, size: bytes.length },
    repository: reference,
    tag: reference.tag,
    document: async (wanted) => (wanted.digest === digest ? bytes : (await client.manifest(wanted.digest)).bytes),
    ensure: (blob) => ensureBlob(store, blob, { client, signal, onProgress }),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function openLayout(
  store: Store,
  place: CopyPlace & { readonly kind: "layout" | "archive" },
  { signal, onProgress }: SourceOptions,
): Promise<CopySource> {
  const where = formatCopyPlace(place);
  await using stack = new AsyncDisposableStack();
  const folder = await openFolder(store, place, { stack, signal });
  const top = await entryOf(folder, place);
  const kept = stack.move();
  const member = ({ digest }: Descriptor): string => `blobs/sha256/${hexOf(digest)}`;
  return {
    top,
    tag: place.tag ?? top.annotations?.[referenceKey]?.replace(/^.*:/s, ""),
    document: async (descriptor) => {
      const bytes = await folder.read(member(descriptor), maxManifestBytes);
      if (digestOf(bytes) === descriptor.digest) return bytes;
      throw new TripodError("corrupt", `${where}: what it has as ${descriptor.digest} has another digest`);
    },
    ensure: async (blob) => {
      if (await store.content.has(blob)) return;
      await using ingest = await store.content.ingest(blob, { signal });
      if (ingest !== undefined) await folder.ingest(member(blob), ingest);
      onProgress?.({ digest: blob.digest, sizeBytes: blob.size, doneBytes: blob.size, state: "downloaded" });
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function openFolder(
  store: Store,
  { kind, path }: { readonly kind: "layout" | "archive"; readonly path: string },
  { stack, signal }: { readonly stack: AsyncDisposableStack; readonly signal: AbortSignal },
): Promise<ArchiveFolder> {
  const name = `copy from ${path === "-" ? "standard input" : path}`;
  const found = path === "-" ? undefined : await stat(path).catch(() => undefined);
  if (kind === "layout") {
    if (found?.isDirectory() !== true) throw new TripodError("not-found", `${name}: no such folder`);
    return ArchiveFolder.open(path, name);
  }
  if (path !== "-" && found?.isFile() !== true) throw new TripodError("not-found", `${name}: no such file`);
  const home = await store.temporary.make();
  stack.defer(() => rm(home, { recursive: true, force: true }));
  const blob = path === "-" ? await spoolInput(process.stdin, join(home, "input"), signal) : path;
  const dir = join(home, "fs");
  await mkdir(dir);
  await store.workers.unpack({ blob, dir, diffId: undefined, limits: store.limits }, signal);
  return ArchiveFolder.open(dir, name);
}

/** The entry of index.json that the tag names; the only one without a tag. */
async function entryOf(
  folder: ArchiveFolder,
  place: CopyPlace & { readonly kind: "layout" | "archive" },
): Promise<Descriptor> {
  const where = `copy from ${formatCopyPlace(place)}`;
  if ((await folder.find("index.json")) === undefined)
    throw new TripodError(
      "invalid",
      `${where}: has no index.json, so it is not in OCI layout; tripod image import it and push`,
    );
  const index = parseManifest(await folder.read("index.json", maxManifestBytes), `${where}: index.json`);
  if (index.kind !== "index") throw new TripodError("invalid", `${where}: index.json is not an index`);
  const tagsOf = ({ annotations = {} }: Descriptor): string[] =>
    [annotations[referenceKey], annotations[imageNameKey]].flatMap((name) =>
      name === undefined ? [] : [name.replace(/^.*:/s, "")],
    );
  const { tag } = place;
  const found = index.manifests.filter((entry) => tag === undefined || tagsOf(entry).includes(tag));
  const [entry] = found;
  if (entry !== undefined && new Set(found.map(({ digest }) => digest)).size === 1) return entry;
  const tags = [...new Set(index.manifests.flatMap(tagsOf))].slice(0, 20).join(", ") || "none";
  const what =
    found.length === 0 ? `no image${tag === undefined ? "" : ` with the tag ${tag}`}` : "more than one image";
  throw new TripodError("not-found", `${where}: it has ${what}; its tags are ${tags}`);
}

/** An image of the store as a source. */
export function storeSource(store: Store, image: { readonly manifest: Descriptor }): CopySource {
  return {
    top: image.manifest,
    tag: undefined,
    document: async ({ digest }) => {
      const bytes = await store.content.read(digest, maxManifestBytes);
      if (bytes !== undefined) return bytes;
      throw new TripodError("failed-precondition", `manifest ${digest} is lost; pull, import or build the image again`);
    },
    ensure: (blob) => needBlob(store, blob),
    [Symbol.asyncDispose]: async () => undefined,
  };
}
