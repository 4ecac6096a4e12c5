import { createReadStream } from "node:fs";
import { type Readable, Transform } from "node:stream";
import type { Descriptor } from "../spec/descriptor.ts";
import type { HostSession } from "./host-session.ts";
import type { PushBlobOptions } from "./push-blob.ts";
import { locationOf, type UploadPlace } from "./upload-place.ts";

const defaultChunkBytes = 64 * 1024 * 1024;

type SendOptions = PushBlobOptions & { readonly scopes: readonly string[]; readonly place: UploadPlace };

/** Sends what is missing of a blob: in one request when it is small, else in chunks (distribution spec, "Pushing a blob in chunks"). */
export async function sendBlob(session: HostSession, blob: Descriptor, options: SendOptions): Promise<void> {
  const { place, chunkBytes = defaultChunkBytes } = options;
  const common = { scopes: options.scopes, signal: options.signal, once: true };
  const part = (end: number): { readonly headers: Record<string, string>; readonly body: () => Readable } => ({
    headers: { "content-type": "application/octet-stream", "content-length": String(end - place.offset) },
    body: () => readPart(options, { start: place.offset, end }),
  });
  const whole = place.offset === 0 && blob.size <= chunkBytes;
  while (!whole && place.offset < blob.size) {
    const end = Math.min(blob.size, place.offset + chunkBytes);
    const { headers, body } = part(end);
    const reply = await session.request({
      ...common,
      method: "PATCH",
      path: place.location,
      headers: { ...headers, "content-range": `${place.offset}-${end - 1}` },
      body,
      accept: [201, 202, 204],
    });
    reply.body.resume();
    place.location = locationOf(session, reply);
    place.offset = end;
  }
  const path = new URL(place.location);
  path.searchParams.set("digest", blob.digest);
  const reply = await session.request({ ...common, ...part(blob.size), method: "PUT", path, accept: [201, 204] });
  reply.body.resume();
}

/** The bytes of the file from `start` up to, not including, `end`. */
function readPart(
  { path, onBytes }: SendOptions,
  { start, end }: { readonly start: number; readonly end: number },
): Readable {
  let done = start;
  const count = new Transform({
    transform(piece: Buffer, _encoding, callback) {
      done += piece.length;
      onBytes?.(done);
      callback(null, piece);
    },
  });
  if (start === end) return count.end();
  return createReadStream(path, { start, end: end - 1, highWaterMark: 128 * 1024 })
    .on("error", (error) => count.destroy(error))
    .pipe(count);
}
