import type { Digest } from "../digest.ts";
import type { Lease } from "../images/lease.ts";
import type { Store } from "../images/store.ts";
import { tocDigestAnnotation, uncompressedSizeAnnotation } from "../lazy/estargz-names.ts";
import { writeEstargz } from "../lazy/write-estargz.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { mediaTypes } from "../spec/media-types.ts";
import type { LayerMember } from "./layer-tar.ts";

/** What is known of a compressed layer once all of it is made. */
export interface LayerFacts {
  readonly diffId: Digest;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A layer in eStargz. */
export async function* estargzLayer(
  members: Iterable<LayerMember> | AsyncIterable<LayerMember>,
): AsyncGenerator<Buffer, LayerFacts> {
  const { diffId, tocDigest, uncompressedBytes } = yield* writeEstargz(members);
  const annotations = {
    [tocDigestAnnotation]: tocDigest,
    [uncompressedSizeAnnotation]: String(uncompressedBytes),
  };
  return { diffId, annotations };
}

/** Brings a layer into the content store as it is made; the lease comes to hold it. */
export async function writeLayer(
  store: Store,
  lease: Lease,
  source: AsyncGenerator<Buffer, LayerFacts>,
): Promise<{ readonly layer: Descriptor; readonly diffId: Digest }> {
  await using writer = await store.content.writer();
  let step = await source.next();
  for (; step.done !== true; step = await source.next()) await writer.write(step.value);
  const { diffId, annotations } = step.value;
  lease.hold([writer.identity().digest]);
  const { digest, size } = await writer.publish();
  const layer = { mediaType: mediaTypes.ociLayerGzip, digest, size, ...(annotations !== undefined && { annotations }) };
  return { layer, diffId };
}
