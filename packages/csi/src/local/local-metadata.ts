import { BlockMetadataType } from "@tripod/api/csi";
import { TripodError } from "@tripod/base";
import type { CallContext } from "@tripod/grpc";
import type { SnapshotMetadataMethods } from "../driver.ts";
import type { LocalContext } from "./local-context.ts";
import type { RangesRequest, VolumeStorage } from "./volume-storage.ts";

/** How many ranges one message of a stream has when the caller does not say. */
const defaultResults = 256;

/** Which parts of snapshots hold data, or have changed from one to the next. */
export function localMetadata(
  { records }: LocalContext,
  rangesOf: NonNullable<VolumeStorage["ranges"]>,
): SnapshotMetadataMethods {
  async function* pages(sizeBytes: bigint, request: RangesRequest, maxResults: number) {
    if (request.startingOffset > sizeBytes)
      throw new TripodError(
        "out-of-range",
        `snapshot metadata: offset ${request.startingOffset} is past its ${sizeBytes} bytes`,
      );
    const facts = { blockMetadataType: BlockMetadataType.VARIABLE_LENGTH, volumeCapacityBytes: sizeBytes };
    let blockMetadata: { byteOffset: bigint; sizeBytes: bigint }[] = [];
    for await (const range of rangesOf(request)) {
      blockMetadata.push(range);
      if (blockMetadata.length < maxResults) continue;
      yield { ...facts, blockMetadata };
      blockMetadata = [];
    }
    if (blockMetadata.length > 0) yield { ...facts, blockMetadata };
  }
  const results = (wanted: number): number => (wanted === 0 ? defaultResults : wanted);
  return {
    getMetadataAllocated({ snapshotId, startingOffset, maxResults }, { signal }: CallContext) {
      const { sizeBytes } = records.snapshot(snapshotId);
      return pages(BigInt(sizeBytes), { storageId: snapshotId, startingOffset, signal }, results(maxResults));
    },
    getMetadataDelta({ baseSnapshotId, targetSnapshotId, startingOffset, maxResults }, { signal }: CallContext) {
      const base = records.snapshot(baseSnapshotId);
      const target = records.snapshot(targetSnapshotId);
      if (base.sourceVolumeId !== target.sourceVolumeId)
        throw new TripodError(
          "invalid",
          `difference of snapshots ${baseSnapshotId} and ${targetSnapshotId}: they are of two volumes`,
        );
      const request = { storageId: targetSnapshotId, baseStorageId: baseSnapshotId, startingOffset, signal };
      return pages(BigInt(target.sizeBytes), request, results(maxResults));
    },
  };
}
