import { TripodError } from "@tripod/base";
import type { Descriptor } from "../spec/descriptor.ts";
import type { ExchangeReply } from "./exchange.ts";
import type { HostSession } from "./host-session.ts";
import { isLoopback } from "./registry-host.ts";

/** An upload as far as it is; moved on as pieces arrive. */
export interface UploadPlace {
  location: URL;
  /** Bytes that the registry has. */
  offset: number;
}

export interface BeginUploadOptions {
  readonly repository: string;
  readonly scopes: readonly string[];
  readonly signal?: AbortSignal | undefined;
  readonly mount?: { readonly blob: Descriptor; readonly from: string | undefined };
}

/** Asks for a place to upload to; undefined when the registry took the blob over from the repository `mount.from`. */
export async function beginUpload(
  session: HostSession,
  { repository, scopes, signal, mount }: BeginUploadOptions,
): Promise<URL | undefined> {
  const begin = await session.request({
    method: "POST",
    path: `/${repository}/blobs/uploads/`,
    query: mount?.from === undefined ? {} : { mount: mount.blob.digest, from: mount.from },
    body: new Uint8Array(),
    accept: [201, 202],
    scopes,
    signal,
  });
  begin.body.resume();
  return begin.status === 201 ? undefined : locationOf(session, begin);
}

/** Where an answer says that the upload goes on. */
export function locationOf(session: HostSession, reply: ExchangeReply): URL {
  const { location } = reply.headers;
  if (location === undefined || !URL.canParse(location, session.base)) {
    throw new TripodError("invalid", `upload to ${session.name}: it names no place for the upload`);
  }
  const url = new URL(location, session.base);
  const downgrade = session.base.startsWith("https:") && url.protocol !== "https:" && !isLoopback(url.host);
  if (!downgrade) return url;
  throw new TripodError("permission-denied", `upload to ${session.name}: it sends us from https to ${url.protocol}//`);
}

/** How much of a broken upload the registry has; undefined when it does not know, or has nothing. */
export async function whereItIs(
  session: HostSession,
  { location }: UploadPlace,
  { scopes, signal }: { readonly scopes: readonly string[]; readonly signal: AbortSignal },
): Promise<UploadPlace | undefined> {
  const reply = await session.request({
    method: "GET",
    path: location,
    accept: [200, 204, 400, 404, 405, 416],
    scopes,
    signal,
  });
  reply.body.resume();
  const last = Number(/^(?:bytes=)?0-(\d+)$/.exec(String(reply.headers.range ?? ""))?.[1] ?? 0);
  if (reply.status > 204 || last === 0) return undefined; // "0-0" is also what some say for nothing
  return { location: reply.headers.location === undefined ? location : locationOf(session, reply), offset: last + 1 };
}
