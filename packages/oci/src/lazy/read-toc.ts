import { promisify } from "node:util";
import { gunzip, zstdDecompress } from "node:zlib";
import { messageOf, TripodError } from "@tripod/base";
import { digestOf, parseDigest } from "../digest.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { TarReader } from "../tar/tar-reader.ts";
import type { LayerLimits } from "../unpack/layer-limits.ts";
import { parseFooter } from "./estargz-footer.ts";
import { footerBytes, landmarkNames, tocDigestAnnotation, tocName } from "./estargz-names.ts";
import { maxTocBytes, parseToc, type TocFile } from "./layer-toc.ts";

/** Annotations of a layer in zstd:chunked (containers/storage, pkg/chunked). */
const zstdDigestAnnotation = "io.github.containers.zstd-chunked.manifest-checksum";
const zstdPositionAnnotation = "io.github.containers.zstd-chunked.manifest-position";

/** No table of contents may be larger in the blob. */
const maxCompressedBytes = 64 * 1024 * 1024;
/** What is fetched at once from the end of an eStargz: most tables are in it. */
const tailBytes = 256 * 1024;

/** Gives bytes of the layer's blob, from `start` up to `end`. */
export type ReadBlob = (start: number, end: number) => Promise<Buffer>;

/** Whether the manifest vouches for a table of contents of the layer: without that nothing in one could be trusted. */
export const hasToc = ({ annotations = {} }: Descriptor): boolean =>
  annotations[tocDigestAnnotation] !== undefined || annotations[zstdDigestAnnotation] !== undefined;

/** Fetches and verifies a layer's table of contents. The names in it are those of the archive, in its order. */
export async function readToc(layer: Descriptor, read: ReadBlob, limits: LayerLimits): Promise<TocFile[]> {
  const where = `layer ${layer.digest}: table of contents`;
  try {
    const { json, dataEnd, compression } =
      layer.annotations?.[tocDigestAnnotation] === undefined
        ? await readZstd(layer, read, where)
        : await readEstargz(layer, read, where);
    const files = parseToc(json, { dataEnd, compression, limits, where });
    return files.filter(({ entry }) => !landmarkNames.has(entry.name) && entry.name !== tocName);
  } catch (error) {
    if (error instanceof TripodError) throw error;
    throw new TripodError("invalid", `${where}: ${messageOf(error)}`, { cause: error }); // zlib's
  }
}

interface RawToc {
  readonly json: Uint8Array;
  readonly dataEnd: number;
  readonly compression: "gzip" | "zstd";
}

async function readEstargz(layer: Descriptor, read: ReadBlob, where: string): Promise<RawToc> {
  const tailStart = Math.max(0, layer.size - tailBytes);
  const tail = await read(tailStart, layer.size);
  const dataEnd = parseFooter(tail);
  if (dataEnd === undefined || dataEnd >= layer.size - footerBytes)
    throw new TripodError("invalid", `${where}: the layer has no footer that says where it is`);
  if (layer.size - dataEnd > maxCompressedBytes) throw tooLarge(where);
  const compressed = dataEnd >= tailStart ? tail.subarray(dataEnd - tailStart) : await read(dataEnd, layer.size);
  const archive = await promisify(gunzip)(compressed, { maxOutputLength: maxTocBytes });
  const json = memberOf(archive, tocName);
  if (json === undefined) throw new TripodError("invalid", `${where}: there is no ${tocName}`);
  verify(json, layer.annotations?.[tocDigestAnnotation], where);
  return { json, dataEnd, compression: "gzip" };
}

async function readZstd(layer: Descriptor, read: ReadBlob, where: string): Promise<RawToc> {
  const position = layer.annotations?.[zstdPositionAnnotation] ?? "";
  const [offset = 0, length = 0, plainLength = 0, type] = /^\d{1,15}(:\d{1,15}){3}$/.test(position)
    ? position.split(":").map(Number)
    : [];
  if (type !== 1 || length === 0 || offset + length > layer.size)
    throw new TripodError("invalid", `${where}: its position ${JSON.stringify(position.slice(0, 80))} is none`);
  if (length > maxCompressedBytes || plainLength > maxTocBytes) throw tooLarge(where);
  const compressed = await read(offset, offset + length);
  verify(compressed, layer.annotations?.[zstdDigestAnnotation], where);
  const json = await promisify(zstdDecompress)(compressed, { maxOutputLength: plainLength });
  return { json, dataEnd: offset, compression: "zstd" };
}

const tooLarge = (where: string): TripodError =>
  new TripodError(
    "exhausted",
    `${where}: it is larger than ${maxCompressedBytes} bytes, or than ${maxTocBytes} unpacked`,
  );

function verify(bytes: Uint8Array, annotation: string | undefined, where: string): void {
  const expected = parseDigest(annotation ?? "", where);
  const found = digestOf(bytes);
  if (found !== expected)
    throw new TripodError("corrupt", `${where}: what came has the digest ${found}, the manifest says ${expected}`);
}

/** A file's content out of a small archive. */
function memberOf(archive: Buffer, name: string): Buffer | undefined {
  let found: Buffer[] | undefined;
  let inside = false;
  const reader = new TarReader({
    entry(entry) {
      inside = entry.name === name && entry.type === "file" && found === undefined;
      if (inside) found = [];
    },
    data(piece) {
      if (inside) found?.push(Buffer.from(piece));
    },
    end() {
      inside = false;
    },
  });
  reader.write(archive);
  reader.end();
  return found === undefined ? undefined : Buffer.concat(found);
}
