import { createReadStream } from "node:fs";
import { Transform } from "node:stream";
import { codeOf, TripodError } from "@tripod/base";
import type { Descriptor } from "../spec/descriptor.ts";
import type { ExchangeReply } from "./exchange.ts";
import type { HostSession } from "./host-session.ts";
import { Attempts } from "./retry.ts";

export interface PushBlobOptions {
  readonly repository: string;
  /** The blob's file. */
  readonly path: string;
  /** Another repository of the same registry that is known to have it. */
  readonly mountFrom?: string | undefined;
  readonly signal: AbortSignal;
  readonly onBytes?: (doneBytes: number) => void;
}

/** Uploads a blob unless the registry has it, or can take it over from another repository (distribution spec, "Push"). */
export async function pushBlob(
  session: HostSession,
  blob: Descriptor,
  options: PushBlobOptions,
): Promise<"exists" | "mounted" | "uploaded"> {
  const { repository, mountFrom, signal } = options;
  const scopes = [
    `repository:${repository}:pull,push`,
    ...(mountFrom === undefined ? [] : [`repository:${mountFrom}:pull`]),
  ];
  const head = await session.request({
    method: "HEAD",
    path: `/${repository}/blobs/${blob.digest}`,
    accept: [200, 404],
    scopes,
    signal,
  });
  head.body.resume();
  if (head.status === 200) return "exists";
  const attempts = new Attempts(4);
  for (;;) {
    const begin = await session.request({
      method: "POST",
      path: `/${repository}/blobs/uploads/`,
      query: mountFrom === undefined ? {} : { mount: blob.digest, from: mountFrom },
      body: new Uint8Array(),
      accept: [201, 202],
      scopes,
      signal,
    });
    begin.body.resume();
    if (begin.status === 201) return "mounted";
    try {
      await put(session, blob, { ...options, scopes, location: locationOf(session, begin) });
      return "uploaded";
    } catch (error) {
      // The upload's place is gone with the connection: it begins again.
      if (codeOf(error) !== "unavailable" || !(await attempts.again(signal))) throw error;
    }
  }
}

function locationOf(session: HostSession, reply: ExchangeReply): URL {
  const { location } = reply.headers;
  if (location === undefined || !URL.canParse(location, session.base)) {
    throw new TripodError("invalid", `upload to ${session.name}: it names no place for the upload`);
  }
  return new URL(location, session.base);
}

async function put(
  session: HostSession,
  blob: Descriptor,
  {
    path,
    location,
    scopes,
    signal,
    onBytes,
  }: PushBlobOptions & { readonly location: URL; readonly scopes: readonly string[] },
): Promise<void> {
  location.searchParams.set("digest", blob.digest);
  const reply = await session.request({
    method: "PUT",
    path: location,
    headers: { "content-type": "application/octet-stream", "content-length": String(blob.size) },
    body: () => {
      let done = 0;
      const count = new Transform({
        transform(piece: Buffer, _encoding, callback) {
          done += piece.length;
          onBytes?.(done);
          callback(null, piece);
        },
      });
      return createReadStream(path, { highWaterMark: 128 * 1024 })
        .on("error", (error) => count.destroy(error))
        .pipe(count);
    },
    accept: [201, 204],
    scopes,
    signal,
  });
  reply.body.resume();
}
