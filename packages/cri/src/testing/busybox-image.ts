import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "@tripod/base";
import { makeBusyboxRootfs } from "@tripod/testing";

export interface BusyboxImageOptions {
  /** "test" unless told. */
  readonly tag?: string;
  /** Over what the image says by itself: `sh` with FOO=bar. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Of the manifest; none unless told. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Changes the root file system before it is packed. */
  readonly furnish?: (rootfs: string) => void;
}

/** Pushes an image of busybox, of one layer, to the registry; its reference. The image runs `sh` with FOO=bar. */
export async function pushBusyboxImage(registry: string, options: BusyboxImageOptions = {}): Promise<string> {
  const folder = mkdtempSync("/tmp/tripod-image-");
  try {
    const rootfs = join(folder, "rootfs");
    mkdirSync(rootfs);
    await makeBusyboxRootfs(rootfs);
    options.furnish?.(rootfs);
    const layer = join(folder, "layer.tar");
    await runCommand("tar", ["--numeric-owner", "-C", rootfs, "-cf", layer, "."]);
    const layout = join(folder, "oci");
    mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
    const blob = (data: Buffer, mediaType: string) => {
      const hex = createHash("sha256").update(data).digest("hex");
      writeFileSync(join(layout, "blobs/sha256", hex), data);
      return { mediaType, digest: `sha256:${hex}`, size: data.length };
    };
    const json = (value: object, mediaType: string) => blob(Buffer.from(JSON.stringify(value)), mediaType);
    const layerBlob = blob(readFileSync(layer), "application/vnd.oci.image.layer.v1.tar");
    const config = json(
      {
        architecture: process.arch === "arm64" ? "arm64" : "amd64",
        os: "linux",
        config: { Cmd: ["sh"], Env: ["FOO=bar"], User: "", ...options.config },
        rootfs: { type: "layers", diff_ids: [layerBlob.digest] },
      },
      "application/vnd.oci.image.config.v1+json",
    );
    const manifest = json(
      {
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config,
        layers: [layerBlob],
        ...(options.annotations !== undefined && { annotations: options.annotations }),
      },
      "application/vnd.oci.image.manifest.v1+json",
    );
    const index = {
      schemaVersion: 2,
      manifests: [{ ...manifest, annotations: { "org.opencontainers.image.ref.name": "t" } }],
    };
    writeFileSync(join(layout, "index.json"), JSON.stringify(index));
    writeFileSync(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
    const reference = `${registry}/busybox:${options.tag ?? "test"}`;
    await runCommand("skopeo", ["copy", "--dest-tls-verify=false", `oci:${layout}:t`, `docker://${reference}`]);
    return reference;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
