import assert from "node:assert/strict";
import { readFileSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { blockVolume } from "./block-specs.ts";
import { failsWith, type Spec } from "./driver-suite.ts";

/** Volumes that grow. */
export function expansionSpecs(spec: Spec): void {
  spec("a volume grows, keeps its data, and asking again changes nothing", async (suite, context) => {
    if (suite.lacks(context, "EXPAND_VOLUME")) return;
    const { controller, node } = suite.client;
    const volume = await suite.create();
    const { volumeId } = volume;
    const capacityRange = { requiredBytes: suite.sizeBytes * 2n };
    await suite.with(volume, (path) => writeFileSync(join(path, "file"), "kept"));
    const grow = () =>
      controller.controllerExpandVolume({ volumeId, capacityRange, volumeCapability: suite.capability() });
    const first = await grow();
    assert.ok(first.capacityBytes >= capacityRange.requiredBytes);
    assert.equal((await grow()).capacityBytes, first.capacityBytes);
    await suite.with(volume, async (volumePath, { stagingTargetPath }) => {
      if (first.nodeExpansionRequired) {
        const request = {
          volumeId,
          volumePath,
          stagingTargetPath,
          capacityRange,
          volumeCapability: suite.capability(),
        };
        for (let turn = 0; turn < 2; turn += 1) await node.nodeExpandVolume(request);
        const { blocks, bsize } = statfsSync(volumePath);
        // A file system takes some of it for itself.
        assert.ok(BigInt(blocks * bsize) * 10n > capacityRange.requiredBytes * 7n, `${blocks} blocks of ${bsize}`);
      }
      assert.equal(readFileSync(join(volumePath, "file"), "utf8"), "kept");
    });
    await suite.remove(volumeId);
  });

  spec("a volume grows while it is in use", async (suite, context) => {
    if (suite.lacks(context, "EXPAND_VOLUME")) return;
    if (suite.driver.growsInUse === false) return context.skip("here the driver's volumes grow only between uses");
    const { controller, node } = suite.client;
    const volume = await suite.create();
    const { volumeId } = volume;
    const capacityRange = { requiredBytes: suite.sizeBytes * 2n };
    await suite.with(volume, async (volumePath, { stagingTargetPath }) => {
      const before = statfsSync(volumePath);
      const { nodeExpansionRequired } = await controller.controllerExpandVolume({ volumeId, capacityRange });
      if (!nodeExpansionRequired) return;
      await node.nodeExpandVolume({ volumeId, volumePath, stagingTargetPath, capacityRange });
      const after = statfsSync(volumePath);
      assert.ok(after.blocks * after.bsize > before.blocks * before.bsize);
    });
    await suite.remove(volumeId);
  });

  spec("a block device in use grows", async (suite, context) => {
    if (suite.lacks(context, "EXPAND_VOLUME")) return;
    if (suite.driver.block !== true) return context.skip("the driver serves no block devices");
    const { controller, node } = suite.client;
    const volume = await suite.create(suite.newName(), blockVolume(suite));
    const { volumeId } = volume;
    const capacityRange = { requiredBytes: suite.sizeBytes * 2n };
    const use = async (volumePath: string): Promise<void> => {
      const volumeCapability = suite.capability({ block: true });
      const { nodeExpansionRequired } = await controller.controllerExpandVolume({
        volumeId,
        capacityRange,
        volumeCapability,
      });
      if (nodeExpansionRequired) await node.nodeExpandVolume({ volumeId, volumePath, capacityRange, volumeCapability });
      const { usage } = await node.nodeGetVolumeStats({ volumeId, volumePath });
      assert.ok((usage[0]?.total ?? 0n) >= capacityRange.requiredBytes);
    };
    await suite.with(volume, use, { block: true });
    await suite.remove(volumeId);
  });

  spec(
    "growing an unknown volume is NOT_FOUND, without a size INVALID_ARGUMENT, and none shrinks",
    async (suite, context) => {
      if (suite.lacks(context, "EXPAND_VOLUME")) return;
      const { controller } = suite.client;
      const { volumeId } = await suite.create();
      const capacityRange = { requiredBytes: suite.sizeBytes };
      const unknown = controller.controllerExpandVolume({ volumeId: "never-was", capacityRange });
      await assert.rejects(unknown, failsWith("not-found"));
      await assert.rejects(controller.controllerExpandVolume({ volumeId }), failsWith("invalid"));
      const smaller = { requiredBytes: 0n, limitBytes: suite.sizeBytes / 2n };
      await assert.rejects(
        controller.controllerExpandVolume({ volumeId, capacityRange: smaller }),
        failsWith("out-of-range"),
      );
      const absurd = { requiredBytes: 1n << 62n };
      const huge = controller.controllerExpandVolume({ volumeId, capacityRange: absurd });
      await assert.rejects(huge, failsWith("out-of-range", "exhausted"));
      await suite.remove(volumeId);
    },
  );
}
