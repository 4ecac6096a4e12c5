import type { IncomingMessage, ServerResponse } from "node:http";
import { once } from "node:events";
import { readdirSync, watch } from "node:fs";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import type { Layout } from "@tripod/base";
import type { LayerMember } from "../build/layer-tar.ts";
import { type Digest, digestOf } from "../digest.ts";
import {
  type MemoryImage,
  misbehavingRegistry,
  type MisbehavingRegistry,
  serve,
} from "../registry/misbehaving-registry.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { mediaTypes } from "../spec/media-types.ts";
import type { TarEntry } from "../tar/tar-entry.ts";
import { encodeTarHeader, plainEntry, tarEnd, tarPadding } from "../tar/tar-header.ts";
import { tocDigestAnnotation } from "./estargz-names.ts";
import { writeEstargz } from "./write-estargz.ts";

/** A layer in memory. */
export interface MemoryLayer {
  readonly blob: Buffer;
  readonly diffId: Digest;
  readonly annotations: Readonly<Record<string, string>>;
  readonly mediaType: string;
}

/** Bytes that do not compress, the same each time. */
export function noise(bytes: number, seed: number): Buffer {
  const content = Buffer.alloc(bytes);
  for (let at = 0, state = seed; at < bytes; at += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    content[at] = state >>> 16;
  }
  return content;
}

export const file = (name: string, content: Buffer, more: Partial<TarEntry> = {}): LayerMember => ({
  entry: plainEntry(name, content.length, more),
  ...(content.length > 0 && {
    content: (async function* () {
      yield content;
    })(),
  }),
});

export const other = (name: string, type: TarEntry["type"], more: Partial<TarEntry> = {}): LayerMember => ({
  entry: plainEntry(name, 0, { type, ...(type === "directory" && { mode: 0o755 }), ...more }),
});

export async function estargzLayer(members: readonly LayerMember[]): Promise<MemoryLayer> {
  const parts: Buffer[] = [];
  const source = writeEstargz(members);
  let step = await source.next();
  for (; step.done !== true; step = await source.next()) parts.push(step.value);
  const { diffId, tocDigest } = step.value;
  return {
    blob: Buffer.concat(parts),
    diffId,
    annotations: { [tocDigestAnnotation]: tocDigest },
    mediaType: mediaTypes.ociLayerGzip,
  };
}

/** A layer in zstd:chunked: a frame for each chunk, the table of contents in a skippable frame at the end. Chunks have 1 MB. */
export async function zstdLayer(members: readonly LayerMember[]): Promise<MemoryLayer> {
  const [plain, blob]: [Buffer[], Buffer[]] = [[], []];
  let offset = 0;
  const frame = (bytes: Buffer): void => {
    const compressed = zstdCompressSync(bytes);
    plain.push(bytes);
    blob.push(compressed);
    offset += compressed.length;
  };
  const types = {
    file: "reg",
    link: "hardlink",
    directory: "dir",
    symlink: "symlink",
    char: "char",
    block: "block",
    fifo: "fifo",
  };
  const entries: object[] = [];
  for (const { entry, content } of members) {
    frame(encodeTarHeader(entry));
    const bytes = Buffer.concat(content === undefined ? [] : await Array.fromAsync(content));
    const chunks: object[] = [];
    for (let at = 0; at < bytes.length; at += 1_000_000) {
      const chunk = bytes.subarray(at, at + 1_000_000);
      const fields = { offset, chunkOffset: at, chunkSize: chunk.length, chunkDigest: digestOf(chunk) };
      frame(chunk);
      chunks.push({ ...fields, endOffset: offset });
    }
    const [first, ...more] = chunks;
    const { name, mode, uid, gid, linkName, size } = entry;
    const owner = { mode, uid, gid, linkName, modtime: new Date(entry.mtime * 1000).toISOString() };
    const described = { type: types[entry.type], name, size, ...owner, ...first, digest: digestOf(bytes) };
    entries.push(described, ...more.map((chunk) => ({ type: "chunk", name, ...chunk })));
    if (bytes.length > 0) frame(tarPadding(bytes.length));
  }
  frame(tarEnd());
  const toc = Buffer.from(JSON.stringify({ version: 1, entries }));
  const compressed = zstdCompressSync(toc);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x184d2a50, 0);
  head.writeUInt32LE(compressed.length, 4);
  return {
    blob: Buffer.concat([...blob, head, compressed]),
    diffId: digestOf(Buffer.concat(plain)),
    annotations: {
      "io.github.containers.zstd-chunked.manifest-checksum": digestOf(compressed),
      "io.github.containers.zstd-chunked.manifest-position": `${offset + 8}:${compressed.length}:${toc.length}:1`,
    },
    mediaType: mediaTypes.ociLayerZstd,
  };
}

export interface LazyRegistry extends AsyncDisposable {
  /** "127.0.0.1:PORT/app". */
  readonly name: string;
  /** What of each layer's blob it has sent as parts. */
  readonly partBytes: () => number;
  /** Lets go on what was held. */
  release(): void;
  /** What it does with requests for parts of blobs, from now on: undefined is well. */
  onPart: ((request: IncomingMessage, response: ServerResponse, blob: Buffer) => boolean) | undefined;
}

const tenant = { architecture: process.arch === "arm64" ? "arm64" : "amd64", os: "linux", config: {} };

/** A registry of one image that gives parts of blobs at once, and whole blobs when it is told to. */
export async function lazyRegistry(layers: readonly MemoryLayer[]): Promise<LazyRegistry> {
  const config = Buffer.from(
    JSON.stringify({ ...tenant, rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) } }),
  );
  const descriptors: Descriptor[] = layers.map(({ blob, annotations, mediaType }) => ({
    mediaType,
    digest: digestOf(blob),
    size: blob.length,
    annotations,
  }));
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length },
      layers: descriptors,
    }),
  );
  const image: MemoryImage = {
    layer: layers[0]?.blob ?? Buffer.alloc(0),
    layerDigest: digestOf(layers[0]?.blob ?? ""),
    config,
    manifest,
    manifestDigest: digestOf(manifest),
  };
  let partBytes = 0;
  const held = Promise.withResolvers<void>();
  const lazy: { onPart: LazyRegistry["onPart"] } = { onPart: undefined };
  const registry: MisbehavingRegistry = await misbehavingRegistry(image, (request, response, path) => {
    const index = descriptors.findIndex(({ digest }) => path.endsWith(`/blobs/${digest}`));
    const blob = layers[index]?.blob;
    if (blob === undefined) return false;
    const document = { bytes: blob, type: "application/octet-stream" };
    const part = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    if (part === null) void held.promise.then(() => serve(request, response, document));
    else if (lazy.onPart?.(request, response, blob) !== true) {
      partBytes += Number(part[2]) - Number(part[1]) + 1;
      serve(request, response, document);
    }
    return true;
  });
  return {
    name: `${registry.host}/app`,
    partBytes: () => partBytes,
    release: held.resolve,
    get onPart() {
      return lazy.onPart;
    },
    set onPart(work) {
      lazy.onPart = work;
    },
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  };
}

/** Waits until the store serves no layer any more: all are whole, or nobody used them. */
export async function nothingServed(layout: Layout): Promise<void> {
  const dir = join(layout.snapshotsDir, "lazy");
  const watcher = watch(dir);
  try {
    while (readdirSync(dir).length > 0) await once(watcher, "change");
  } finally {
    watcher.close();
  }
}
