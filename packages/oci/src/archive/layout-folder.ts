import { constants } from "node:fs";
import { copyFile, mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isNodeError, randomHex, TripodError, writeFileAtomic } from "@tripod/base";
import { hexOf } from "../digest.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { arrayAt, objectAt, parseJson } from "../spec/json.ts";
import { maxManifestBytes } from "../spec/manifest.ts";
import { mediaTypes } from "../spec/media-types.ts";
import { type LayoutEntry, layoutMarker, referenceKey } from "./layout-index.ts";

/** A folder in OCI image layout (image-layout.md) that is written to; what is in it already stays. */
export class LayoutFolder {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /** Opens or makes it. A folder that holds other things is refused. */
  static async open(dir: string): Promise<LayoutFolder> {
    const found = await stat(dir).catch((error: unknown) => {
      if (isNodeError(error, "ENOENT")) return undefined;
      throw error;
    });
    if (found !== undefined && !found.isDirectory())
      throw new TripodError("failed-precondition", `write to ${dir}: is no folder; name another place`);
    await mkdir(join(dir, "blobs/sha256"), { recursive: true });
    const folder = new LayoutFolder(dir);
    await folder.#entries(); // says at once when there is an index.json that cannot be added to
    return folder;
  }

  #pathOf(blob: Descriptor): string {
    return join(this.#dir, "blobs/sha256", hexOf(blob.digest));
  }

  async has(blob: Descriptor): Promise<boolean> {
    try {
      return (await stat(this.#pathOf(blob))).size === blob.size;
    } catch (error) {
      if (isNodeError(error, "ENOENT")) return false;
      throw error;
    }
  }

  /** Copies a blob's file, sharing its blocks where the file system can. */
  take(blob: Descriptor, path: string): Promise<void> {
    return this.#write(blob, (temporary) => copyFile(path, temporary, constants.COPYFILE_FICLONE));
  }

  async put(document: Descriptor, bytes: Buffer): Promise<void> {
    if (await this.has(document)) return;
    await this.#write(document, (temporary) => writeFile(temporary, bytes));
  }

  /** Whole or not at all, and on the disk before index.json names it. */
  async #write(blob: Descriptor, write: (temporary: string) => Promise<void>): Promise<void> {
    const temporary = `${this.#pathOf(blob)}.${randomHex(4)}.tmp`;
    try {
      await write(temporary);
      await using file = await open(temporary, "r");
      await file.sync();
      await rename(temporary, this.#pathOf(blob));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  async #entries(): Promise<readonly unknown[]> {
    const file = join(this.#dir, "index.json");
    try {
      const { size } = await stat(file);
      if (size > maxManifestBytes) throw new TripodError("invalid", `${file}: ${size} bytes are too many for an index`);
      return arrayAt(objectAt(parseJson(await readFile(file), file), file).manifests, `${file}: manifests`);
    } catch (error) {
      if (isNodeError(error, "ENOENT")) return [];
      throw error;
    }
  }

  /** Lists manifests in index.json; what their names meant there before, they mean no longer. */
  async add(entries: readonly LayoutEntry[]): Promise<void> {
    const names = new Set(entries.map(({ annotations }) => annotations?.[referenceKey]));
    const nameless = new Set(entries.flatMap((entry) => (entry.annotations === undefined ? [entry.digest] : [])));
    const others = (await this.#entries()).filter((item) => {
      const { annotations, digest } = objectAt(item, "index.json");
      const name = annotations == null ? undefined : objectAt(annotations, "index.json")[referenceKey];
      return typeof name === "string" ? !names.has(name) : ![...nameless].some((own) => own === digest);
    });
    const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [...others, ...entries] };
    await writeFileAtomic(join(this.#dir, "oci-layout"), JSON.stringify(layoutMarker));
    await writeFileAtomic(join(this.#dir, "index.json"), JSON.stringify(index));
  }
}
