import { digestOf } from "../digest.ts";
import type { HostSession } from "./host-session.ts";
import { beginUpload } from "./upload-place.ts";

export interface PushDocumentOptions {
  readonly repository: string;
  readonly signal?: AbortSignal | undefined;
}

/** Uploads a small blob that is in memory. */
export async function pushBytes(session: HostSession, bytes: Uint8Array, options: PushDocumentOptions): Promise<void> {
  const { repository, signal } = options;
  const scopes = [`repository:${repository}:pull,push`];
  const location = await beginUpload(session, { repository, scopes, signal });
  if (location === undefined) return;
  location.searchParams.set("digest", digestOf(bytes));
  const reply = await session.request({
    method: "PUT",
    path: location,
    headers: { "content-type": "application/octet-stream" },
    body: bytes,
    accept: [201, 204],
    scopes,
    signal,
  });
  reply.body.resume();
}

/** Puts a manifest, whose blobs are there, under a tag (or its digest). */
export async function pushManifest(
  session: HostSession,
  bytes: Uint8Array,
  { repository, tag, mediaType, signal }: PushDocumentOptions & { readonly tag: string; readonly mediaType: string },
): Promise<void> {
  const reply = await session.request({
    method: "PUT",
    path: `/${repository}/manifests/${tag}`,
    headers: { "content-type": mediaType },
    body: bytes,
    accept: [200, 201, 202, 204],
    scopes: [`repository:${repository}:pull,push`],
    signal,
  });
  reply.body.resume();
}
