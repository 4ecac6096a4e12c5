import type { ContainerImage } from "@tripod/api/kubernetes";
import type { CriClient } from "../cri/cri-client.ts";

/** As many images, the largest ones, as a Node's status tells of; and as many names of each. */
const maxImages = 50;
const maxNames = 5;

/** The images on this node, for the scheduler's preference and for people. */
export async function nodeImages(cri: CriClient): Promise<ContainerImage[]> {
  const { images } = await cri.images.listImages({});
  return images
    .toSorted((a, b) => Number(b.size - a.size))
    .slice(0, maxImages)
    .map(({ repoDigests, repoTags, size }) => ({
      names: [...repoDigests, ...repoTags].slice(0, maxNames),
      sizeBytes: Number(size),
    }))
    .filter(({ names }) => names.length > 0);
}
