import { constants } from "node:fs";
import { chmod, copyFile, link, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { failpoint, isNodeError } from "@tripod/base";
import { type Digest, digestOf, hexOf } from "../digest.ts";
import type { Image } from "../image.ts";
import type { Artifact, ArtifactFile } from "../spec/artifact.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { chainIdsOf } from "../spec/image-config.ts";
import type { Store } from "./store.ts";

/** The layers of which an image's files are shown, bottom first. An artifact's files are a layer by themselves, named for its manifest. */
export const layersOf = ({ id, artifact, config }: Pick<Image, "id" | "artifact" | "config">): Digest[] =>
  artifact === undefined ? chainIdsOf(config.rootfs.diff_ids) : [digestOf(`artifact ${id}`)];

/**
 * Makes the layer of an artifact's files: 0644, root's, each at its place. They are links to the blobs where the file system has those, so
 * that a model of gigabytes is there at once and once. No image refers to the layer: it goes when no volume and no mount uses it.
 */
export async function ensureArtifactLayer(
  store: Store,
  image: Image & { readonly artifact: Artifact },
  { signal, ensureBlob }: { readonly signal: AbortSignal; readonly ensureBlob: (blob: Descriptor) => Promise<void> },
): Promise<void> {
  const [chainId] = layersOf(image);
  if (chainId === undefined) return;
  const { files } = image.artifact;
  await store.layerWork.run(
    chainId,
    async () => {
      if (store.snapshotter.layer(chainId) !== undefined) return;
      for (const { blob } of files) await ensureBlob(blob);
      await using _lock = await store.layerLocks.hold(hexOf(chainId), signal);
      if (store.snapshotter.layer(chainId) !== undefined) return;
      await using draft = await store.snapshotter.draft();
      await chmod(draft.dir, 0o755);
      for (const file of files) await place(store, file, draft.dir);
      failpoint("oci.artifact.placed");
      const bytes = files.reduce((sum, { blob }) => sum + blob.size, 0);
      const inodes = files.length + foldersOf(files).size;
      await draft.commit({ chainId, parent: undefined, bytes, inodes, opaqueRoot: false });
    },
    signal,
  );
}

/** The folders in which the files lie, without the top. */
const foldersOf = (files: readonly ArtifactFile[]): Set<string> =>
  new Set(
    files
      .flatMap(({ path }) => path.split("/").map((_, depth, parts) => parts.slice(0, depth).join("/")))
      .filter(Boolean),
  );

/** artifactFiles() has made sure that the path is one inside the folder. */
async function place({ content }: Store, { path, blob }: ArtifactFile, dir: string): Promise<void> {
  const [source, target] = [content.pathOf(blob.digest), join(dir, path)];
  await mkdir(dirname(target), { recursive: true, mode: 0o755 });
  try {
    await link(source, target);
  } catch (error) {
    if (!isNodeError(error, "EXDEV", "EMLINK", "EPERM")) throw error;
    await copyFile(source, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  }
}
