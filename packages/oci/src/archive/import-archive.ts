import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { Image, OnProgress } from "../image.ts";
import type { Store } from "../images/store.ts";
import { parsePlatform } from "../spec/platform.ts";
import { ArchiveFolder } from "./archive-folder.ts";
import { importDocker } from "./import-docker.ts";
import { importOci } from "./import-oci.ts";
import { spoolInput } from "./spool-input.ts";

export interface ImportOptions {
  /** Name for an archive's image instead of the archive's own word; a tag alone in the archive is put behind it. */
  readonly name?: string | undefined;
  /** Which image of an index to take; this machine's unless told. */
  readonly platform?: string | undefined;
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress | undefined;
}

/** Imports `docker save`'s archives, OCI archives (tar, maybe gzip or zstd) and OCI layout folders; a stream gives an archive. */
export async function importArchive(
  store: Store,
  input: string | Readable,
  options: ImportOptions = {},
): Promise<Image[]> {
  const where = `import ${typeof input === "string" ? input : "from standard input"}`;
  return withSpan("oci import", { where }, async () => {
    const found =
      typeof input === "string"
        ? await stat(input).catch((cause: unknown) => {
            throw new TripodError("not-found", `${where}: no such file`, { cause });
          })
        : undefined;
    if (typeof input === "string" && found?.isDirectory() === true)
      return importFolder(store, input, { ...options, where });
    const home = await store.temporary.make();
    try {
      const dir = join(home, "fs");
      await mkdir(dir);
      const file = typeof input === "string" ? input : await spoolInput(input, join(home, "input"), options.signal);
      // An archive of layers is a tar like a layer: the same strict reader unpacks it.
      await store.workers.unpack({ blob: file, dir, diffId: undefined, limits: store.limits }, options.signal);
      return await importFolder(store, dir, { ...options, where });
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  });
}

async function importFolder(
  store: Store,
  dir: string,
  options: ImportOptions & { readonly where: string },
): Promise<Image[]> {
  const folder = await ArchiveFolder.open(dir, options.where);
  const wanted = parsePlatform(options.platform);
  const images =
    (await folder.find("index.json")) !== undefined
      ? await importOci(store, folder, { ...options, wanted })
      : (await folder.find("manifest.json")) !== undefined
        ? await importDocker(store, folder, options)
        : undefined;
  if (images === undefined) {
    throw new TripodError(
      "invalid",
      `${options.where}: has neither index.json nor manifest.json, so it is no image archive`,
    );
  }
  if (images.length === 0) throw new TripodError("not-found", `${options.where}: holds no image`);
  return images;
}
