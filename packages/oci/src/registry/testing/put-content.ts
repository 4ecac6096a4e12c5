import { type Digest, digestOf } from "../../digest.ts";

async function put(
  url: string,
  { type, bytes }: { readonly type: string; readonly bytes: Uint8Array<ArrayBuffer> },
): Promise<void> {
  const reply = await fetch(url, { method: "PUT", headers: { "content-type": type }, body: bytes });
  if (reply.status !== 201) throw new Error(`PUT ${url}: ${reply.status} ${await reply.text()}`);
  await reply.body?.cancel();
}

/** Puts a blob into a registry that asks for no login, for tests. `base` is "http://HOST". */
export async function putBlob(
  base: string,
  { repository, bytes }: { readonly repository: string; readonly bytes: Uint8Array<ArrayBuffer> },
): Promise<Digest> {
  const digest = digestOf(bytes);
  const begun = await fetch(`${base}/v2/${repository}/blobs/uploads/`, { method: "POST" });
  const location = new URL(begun.headers.get("location") ?? "", base);
  location.searchParams.set("digest", digest);
  await put(location.href, { type: "application/octet-stream", bytes });
  return digest;
}

/** Puts a manifest under a tag, or under its digest without one. */
export async function putManifest(
  base: string,
  {
    repository,
    tag,
    manifest,
  }: { readonly repository: string; readonly tag?: string; readonly manifest: { readonly mediaType: string } },
): Promise<Digest> {
  const bytes = Buffer.from(JSON.stringify(manifest));
  const digest = digestOf(bytes);
  await put(`${base}/v2/${repository}/manifests/${tag ?? digest}`, { type: manifest.mediaType, bytes });
  return digest;
}
