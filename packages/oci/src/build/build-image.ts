import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { Image, OnProgress, RegistryAuth } from "../image.ts";
import { Lease } from "../images/lease.ts";
import { pullImage } from "../images/pull.ts";
import { recordImage } from "../images/record-image.ts";
import type { ImageRecord } from "../images/image-records.ts";
import type { Store } from "../images/store.ts";
import { parseReference, tagReferenceOf } from "../reference.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { isLayerType, mediaTypes } from "../spec/media-types.ts";
import { formatPlatform, parsePlatform, platformRank } from "../spec/platform.ts";
import { openDecompressed } from "../unpack/decompress.ts";
import { collectFiles } from "./collect-files.ts";
import { type ImageSpec, imageSpecFile, parseImageSpec } from "./image-spec.ts";
import { layerMembers, layerTar } from "./layer-tar.ts";
import { mergeConfig } from "./merge-config.ts";
import { estargzLayer, type LayerFacts, writeLayer } from "./write-layer.ts";

export interface BuildOptions {
  /** The folder to build from; its tripod-image.yaml says how. Either this or `rootfsTar`. */
  readonly context?: string;
  /** A tar (plain, gzip, zstd) that becomes the layer as it is. */
  readonly rootfsTar?: string;
  /** Adds to, and replaces, what tripod-image.yaml says. */
  readonly spec?: ImageSpec;
  /** Another file than the context's tripod-image.yaml. */
  readonly specFile?: string;
  /** Names for the image. */
  readonly tags: readonly string[];
  readonly platform?: string;
  /** For the image to build on, if it must be pulled: the login for its registry. */
  readonly authFor?: (reference: string) => RegistryAuth | undefined;
  /** Ask the registry for the image to build on, also when one of that name is here. */
  readonly pull?: boolean;
  /** Writes the layer so that containers can start before all of it is fetched (eStargz). Of a folder alone. */
  readonly estargz?: boolean;
  /** The time of every file and of the image, in seconds since 1970; SOURCE_DATE_EPOCH, else 0, unless told. */
  readonly createdAt?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
}

/** Builds an image of one new layer. The same input gives the same digests. */
export async function buildImage(store: Store, options: BuildOptions): Promise<Image> {
  return withSpan("oci build", { tags: options.tags }, async () => {
    const { context, rootfsTar } = options;
    if ((context === undefined) === (rootfsTar === undefined)) {
      throw new TripodError("invalid", "build image: needs either a folder or a tar of a root file system");
    }
    if (options.estargz === true && context === undefined) {
      throw new TripodError("invalid", "build image: eStargz is made of a folder, not of a tar; unpack the tar first");
    }
    const names = options.tags.map((tag) => {
      const name = tagReferenceOf(parseReference(tag));
      if (name === undefined) throw new TripodError("invalid", `build image: ${tag} is a digest; give a name`);
      return name;
    });
    const spec = await specOf(options);
    const base = await baseOf(store, spec, options);
    const createdAt = options.createdAt ?? epoch();
    using lease = new Lease(store.records);
    if (base !== undefined) {
      lease.hold(base.layers.map((layer) => layer.digest));
      for (const blob of base.layers) {
        if (await store.content.has(blob)) continue;
        throw new TripodError(
          "failed-precondition",
          `build image: layer ${blob.digest} of ${spec.from} is lost; pull it again`,
        );
      }
    }
    const files = context === undefined ? undefined : collectFiles(context, spec);
    const layer = async (): Promise<AsyncGenerator<Buffer, LayerFacts>> => {
      if (files === undefined) return gzipLayer(await openDecompressed(rootfsTar ?? ""));
      const members = layerMembers(files, createdAt);
      return options.estargz === true ? estargzLayer(members) : gzipLayer(layerTar(members));
    };
    // Who copies nothing only changes what the base says.
    const added = files?.size === 0 ? undefined : await writeLayer(store, lease, await layer());
    const created = new Date(createdAt * 1000).toISOString().replace(/\.000Z$/, "Z");
    const config = mergeConfig(base?.config, spec, {
      diffId: added?.diffId,
      created,
      platform: parsePlatform(options.platform),
    });
    return recordImage(store, {
      lease,
      config,
      configBytes: Buffer.from(JSON.stringify(config)),
      layers: [...(base?.layers ?? []).map(asOci), ...(added === undefined ? [] : [added.layer])],
      names,
      signal: options.signal,
      onProgress: options.onProgress,
    });
  });
}

function epoch(): number {
  const text = process.env.SOURCE_DATE_EPOCH ?? "0";
  if (!/^\d{1,12}$/.test(text))
    throw new TripodError("invalid", "build image: SOURCE_DATE_EPOCH is not a number of seconds");
  return Number(text);
}

async function specOf({ context, spec = {}, specFile }: BuildOptions): Promise<ImageSpec> {
  const file = specFile ?? (context === undefined ? undefined : join(context, imageSpecFile));
  if (file === undefined || (specFile === undefined && !existsSync(file))) return spec;
  const written = parseImageSpec(await readFile(file, "utf8"), file);
  return { ...written, ...spec, env: { ...written.env, ...spec.env }, labels: { ...written.labels, ...spec.labels } };
}

async function baseOf(store: Store, spec: ImageSpec, options: BuildOptions): Promise<ImageRecord | undefined> {
  const { from = "scratch" } = spec;
  if (from === "scratch") return undefined;
  const { platform, signal, onProgress, pull = false } = options;
  const auth = options.authFor?.(from);
  const known = pull ? undefined : store.records.idOf(from);
  const id =
    known ??
    (
      await pullImage(store, from, {
        ...(auth === undefined ? {} : { auth }),
        ...(platform === undefined ? {} : { platform }),
        ...(signal === undefined ? {} : { signal }),
        ...(onProgress === undefined ? {} : { onProgress }),
      })
    ).id;
  const base = store.records.images.get(id);
  if (
    base !== undefined &&
    platform !== undefined &&
    platformRank(parsePlatform(platform), base.config) === undefined
  ) {
    throw new TripodError(
      "failed-precondition",
      `build image: ${from} is here for ${formatPlatform(base.config)}, not for ${platform}; use --pull`,
    );
  }
  return base;
}

async function* gzipLayer(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, LayerFacts> {
  const hash = createHash("sha256");
  const compressed = new PassThrough({ highWaterMark: 64 * 1024 });
  const writing = pipeline(
    source,
    async function* (pieces: AsyncIterable<Buffer>) {
      for await (const piece of pieces) {
        hash.update(piece);
        yield piece;
      }
    },
    createGzip({ chunkSize: 64 * 1024 }),
    compressed,
  );
  writing.catch(() => undefined); // told below
  yield* compressed as AsyncIterable<Buffer>; // a stream without an encoding yields Buffers
  await writing;
  return { diffId: `sha256:${hash.digest("hex")}` };
}

/** Layers of docker's types are the same bytes; an OCI manifest names them in OCI's way. */
function asOci({ mediaType, digest, size, annotations }: Descriptor): Descriptor {
  const rest = { digest, size, ...(annotations !== undefined && { annotations }) };
  if (!isLayerType(mediaType) || mediaType.startsWith("application/vnd.oci.")) return { mediaType, ...rest };
  const suffix = /\.(gzip|zstd)$/.exec(mediaType)?.[1];
  const oci =
    suffix === "gzip" ? mediaTypes.ociLayerGzip : suffix === "zstd" ? mediaTypes.ociLayerZstd : mediaTypes.ociLayer;
  return { mediaType: oci, ...rest };
}
