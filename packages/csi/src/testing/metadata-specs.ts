import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { PluginCapability_Service_Type as Service } from "@tripod/api/csi";
import { blockVolume, writeBlock } from "./block-specs.ts";
import { type DriverSuite, failsWith, type Spec } from "./driver-suite.ts";
import { takeSnapshot } from "./snapshot-specs.ts";

const lacksMetadata = ({ services, driver }: DriverSuite, context: TestContext): boolean => {
  if (services.has(Service.SNAPSHOT_METADATA_SERVICE) && driver.block === true) return false;
  context.skip("the driver has no SNAPSHOT_METADATA_SERVICE");
  return true;
};

interface Range {
  readonly byteOffset: bigint;
  readonly sizeBytes: bigint;
}

async function collect(stream: AsyncIterable<{ readonly blockMetadata: readonly Range[] }>): Promise<Range[]> {
  const ranges: Range[] = [];
  for await (const { blockMetadata } of stream) ranges.push(...blockMetadata);
  ranges.forEach(({ byteOffset }, index) => {
    const before = ranges[index - 1];
    assert.ok(
      before === undefined || before.byteOffset + before.sizeBytes <= byteOffset,
      "ranges come in order, apart",
    );
  });
  return ranges;
}

const covers = (ranges: readonly Range[], offset: number): boolean =>
  ranges.some(({ byteOffset, sizeBytes }) => byteOffset <= BigInt(offset) && BigInt(offset) < byteOffset + sizeBytes);

/** Which parts of a snapshot hold data, and which have changed since another. */
export function metadataSpecs(spec: Spec): void {
  spec("what was written is allocated, and what has changed differs", async (suite, context) => {
    if (lacksMetadata(suite, context)) return;
    const { snapshotMetadata, controller } = suite.client;
    const volume = await suite.create(suite.newName(), blockVolume(suite));
    const half = Number(suite.sizeBytes / 2n);
    await suite.with(volume, (path) => writeBlock(path, "first", 0), { block: true });
    const base = await takeSnapshot(suite, volume.volumeId);
    await suite.with(volume, (path) => writeBlock(path, "second", half), { block: true });
    const target = await takeSnapshot(suite, volume.volumeId);
    const of = { snapshotId: target.snapshotId };
    const allocated = await collect(snapshotMetadata.getMetadataAllocated(of));
    assert.ok(covers(allocated, 0) && covers(allocated, half));
    const ids = { baseSnapshotId: base.snapshotId, targetSnapshotId: target.snapshotId };
    const changed = await collect(snapshotMetadata.getMetadataDelta(ids));
    assert.ok(covers(changed, half) && !covers(changed, 0));
    const later = await collect(snapshotMetadata.getMetadataAllocated({ ...of, startingOffset: BigInt(half) }));
    assert.ok(covers(later, half) && later.every(({ byteOffset }) => byteOffset >= BigInt(half)));
    const same = { baseSnapshotId: base.snapshotId, targetSnapshotId: base.snapshotId };
    assert.deepEqual(await collect(snapshotMetadata.getMetadataDelta(same)), []);
    const past = snapshotMetadata.getMetadataAllocated({ ...of, startingOffset: suite.sizeBytes * 4n });
    await assert.rejects(collect(past), failsWith("out-of-range"));
    await assert.rejects(
      collect(snapshotMetadata.getMetadataAllocated({ snapshotId: "never-was" })),
      failsWith("not-found"),
    );
    for (const { snapshotId } of [base, target]) await controller.deleteSnapshot({ snapshotId });
    await suite.remove(volume.volumeId);
  });
}
