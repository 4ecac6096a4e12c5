import { readFile } from "node:fs/promises";
import { TripodError } from "@tripod/base";
import { digestOf } from "@tripod/oci";
import type { LayerFile } from "./debian-layers.ts";

/** Puts an image of these layers into the registry; returns its whole name. */
export async function pushLayers(host: string, name: string, layers: readonly LayerFile[]): Promise<string> {
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      os: "linux",
      config: { Cmd: ["/bin/sh"] },
      rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    }),
  );
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: digestOf(config),
      size: config.length,
    },
    layers: layers.map(({ digest, size }) => ({
      mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
      digest,
      size,
    })),
  });
  const base = `http://${host}/v2/${name}`;
  for (const { path, digest } of layers) await putBlob(base, digest, await readFile(path));
  await putBlob(base, digestOf(config), config);
  await ask(`${base}/manifests/1`, {
    method: "PUT",
    headers: { "content-type": "application/vnd.oci.image.manifest.v1+json" },
    body: manifest,
  });
  return `${host}/${name}:1`;
}

async function putBlob(base: string, digest: string, body: Buffer<ArrayBuffer>): Promise<void> {
  const { headers } = await ask(`${base}/blobs/uploads/`, { method: "POST" });
  const target = new URL(headers.get("location") ?? "", base);
  target.searchParams.set("digest", digest);
  await ask(target.href, { method: "PUT", body });
}

async function ask(url: string, request: RequestInit): Promise<Response> {
  const reply = await fetch(url, request);
  if (!reply.ok)
    throw new TripodError("unavailable", `push to the registry: ${url}: ${reply.status} ${await reply.text()}`);
  return reply;
}
