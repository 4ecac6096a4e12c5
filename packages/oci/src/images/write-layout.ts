import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { codeOf, isNodeError, randomHex } from "@tripod/base";
import { layoutIndex, layoutMarker } from "../archive/layout-index.ts";
import type { Image } from "../image.ts";

/**
 * Makes the store's folder of blobs an OCI layout, for tools to read: `oci-layout`, and an `index.json` that calls each image by its whole
 * names. The records stay the truth: this follows from them, and is written anew at each change and each start. On a full disk there is no
 * index until the next time.
 */
export function writeLayout(dir: string, images: readonly Image[]): void {
  const index = layoutIndex(
    images.map((image) => ({ image, tags: image.repoTags })),
    (tag) => tag,
  );
  replace(join(dir, "oci-layout"), JSON.stringify(layoutMarker));
  replace(join(dir, "index.json"), JSON.stringify(index));
}

function replace(path: string, text: string): void {
  if (contentOf(path) === text) return;
  const temporary = `${path}.${randomHex(4)}.tmp`;
  try {
    writeFileSync(temporary, text, { mode: 0o644 });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    if (codeOf(error) !== "exhausted") throw error;
    rmSync(path, { force: true }); // none is better than one that names what is gone
  }
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return undefined;
    throw error;
  }
}
