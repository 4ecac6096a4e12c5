import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { type Digest, digestOf } from "../digest.ts";
import { mediaTypes } from "../spec/media-types.ts";
import { encodeTarHeader, plainEntry, tarEnd, tarPadding } from "../tar/tar-header.ts";

/** An image in memory, as a registry serves it. */
export interface MemoryImage {
  readonly layer: Buffer;
  readonly layerDigest: Digest;
  readonly config: Buffer;
  readonly manifest: Buffer;
  readonly manifestDigest: Digest;
}

/** An image of one layer with one file of `bytes` bytes that do not compress. */
export function memoryImage(bytes: number, fill = 1): MemoryImage {
  const content = Buffer.alloc(bytes);
  for (let at = 0, state = fill; at < bytes; at += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    content[at] = state >>> 16;
  }
  const tar = Buffer.concat([encodeTarHeader(plainEntry("file", bytes)), content, tarPadding(bytes), tarEnd()]);
  const layer = gzipSync(tar, { level: 1 });
  const config = Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: [digestOf(tar)] },
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length },
      layers: [{ mediaType: mediaTypes.ociLayerGzip, digest: digestOf(layer), size: layer.length }],
    }),
  );
  return { layer, layerDigest: digestOf(layer), config, manifest, manifestDigest: digestOf(manifest) };
}

/** What a test does with a request; true when it has answered, else the registry answers well. */
export type Misbehaviour = (request: IncomingMessage, response: ServerResponse, path: string) => boolean;

export interface MisbehavingRegistry extends AsyncDisposable {
  /** "127.0.0.1:PORT". */
  readonly host: string;
  /** "METHOD PATH" of each request. */
  readonly requests: readonly IncomingMessage[];
}

/** A registry that serves one image, except where `misbehave` does otherwise. */
export async function misbehavingRegistry(
  image: MemoryImage,
  misbehave: Misbehaviour = () => false,
  tls?: { readonly cert: string; readonly key: string; readonly ca?: string; readonly requestCert?: boolean },
): Promise<MisbehavingRegistry> {
  const requests: IncomingMessage[] = [];
  const documents = new Map<string, { readonly bytes: Buffer; readonly type: string }>([
    [digestOf(image.config), { bytes: image.config, type: "application/octet-stream" }],
    [image.layerDigest, { bytes: image.layer, type: "application/octet-stream" }],
    [image.manifestDigest, { bytes: image.manifest, type: mediaTypes.ociManifest }],
    ["latest", { bytes: image.manifest, type: mediaTypes.ociManifest }],
  ]);
  const listen = (request: IncomingMessage, response: ServerResponse): void => {
    requests.push(request);
    const path = new URL(request.url ?? "/", "http://x").pathname;
    response.on("error", () => response.destroy());
    if (misbehave(request, response, path)) return;
    const document = documents.get(path.split("/").at(-1) ?? "");
    if (document === undefined) {
      response.writeHead(404, { "content-type": "application/json" });
      response.end(JSON.stringify({ errors: [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown" }] }));
      return;
    }
    serve(request, response, document);
  };
  const server: Server =
    tls === undefined ? createServer(listen) : createTlsServer({ ...tls, rejectUnauthorized: true }, listen);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // a TCP server's address
  return {
    host: `127.0.0.1:${port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Serves bytes with Range, as a good registry does. */
export function serve(
  request: IncomingMessage,
  response: ServerResponse,
  { bytes, type }: { readonly bytes: Buffer; readonly type: string },
): void {
  const headers = { "content-type": type, "docker-content-digest": digestOf(bytes) };
  const [, from = "0", to = String(bytes.length - 1)] =
    /^bytes=(\d+)-(\d+)?$/.exec(request.headers.range ?? "")?.map((text) => text ?? undefined) ?? [];
  const [start, end] = [Number(from), Math.min(Number(to), bytes.length - 1)];
  const part = bytes.subarray(start, end + 1);
  const whole = part.length === bytes.length;
  response.writeHead(whole ? 200 : 206, {
    ...headers,
    "content-length": String(part.length),
    ...(whole ? {} : { "content-range": `bytes ${start}-${end}/${bytes.length}` }),
  });
  response.end(request.method === "HEAD" ? undefined : part);
}
