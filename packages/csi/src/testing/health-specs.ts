import assert from "node:assert/strict";
import { NodeServiceCapability_RPC_Type as NodeRpc } from "@tripod/api/csi";
import { failsWith, type Spec } from "./driver-suite.ts";

/** Capacity, health, and what may be modified. */
export function healthSpecs(spec: Spec): void {
  spec("there is capacity for what the driver serves", async (suite, context) => {
    if (suite.lacks(context, "GET_CAPACITY")) return;
    const volumeCapabilities = [suite.capability()];
    const { availableCapacity } = await suite.client.controller.getCapacity({
      volumeCapabilities,
      parameters: { ...suite.driver.parameters },
    });
    assert.ok(availableCapacity > 0n);
  });

  spec("a volume in order has no problems, and one that is not there is NOT_FOUND", async (suite, context) => {
    if (suite.lacks(context, "GET_VOLUME_HEALTH")) return;
    const { controller } = suite.client;
    const { volumeId } = await suite.create();
    const { volumeHealth } = await controller.controllerGetVolumeHealth({ volumeId });
    assert.equal(volumeHealth?.volumeId, volumeId);
    assert.deepEqual(volumeHealth.healthStatuses, []);
    const unknown = controller.controllerGetVolumeHealth({ volumeId: "never-was" });
    await assert.rejects(unknown, failsWith("not-found"));
    await suite.remove(volumeId);
  });

  spec("the health of all volumes is listed", async (suite, context) => {
    if (suite.lacks(context, "LIST_VOLUME_HEALTH")) return;
    const { volumeId } = await suite.create();
    const { entries } = await suite.client.controller.controllerListVolumeHealth({});
    assert.ok(entries.some((each) => each.volumeId === volumeId));
    await suite.remove(volumeId);
  });

  spec("a node tells the health of a published volume, and of its storage", async (suite, context) => {
    if (!suite.nodeRpcs.has(NodeRpc.GET_VOLUME_HEALTH)) return context.skip("the driver has no GET_VOLUME_HEALTH");
    const volume = await suite.create();
    await suite.with(volume, async (volumePublishPath, { stagingTargetPath }) => {
      const request = { volumeId: volume.volumeId, volumePublishPath, stagingTargetPath };
      assert.deepEqual((await suite.client.node.nodeGetVolumeHealth(request)).volumeHealth?.healthStatuses, []);
    });
    if (suite.nodeRpcs.has(NodeRpc.GET_STORAGE_HEALTH))
      assert.deepEqual((await suite.client.node.nodeGetStorageHealth({})).backendHealth, []);
    await suite.remove(volume.volumeId);
  });

  spec(
    "mutable parameters are set at creation and changed in use; unknown ones are refused",
    async (suite, context) => {
      if (suite.lacks(context, "MODIFY_VOLUME")) return;
      const { controller } = suite.client;
      const mutableParameters = { ...suite.driver.mutableParameters };
      const volume = await suite.create(suite.newName(), { mutableParameters });
      const { volumeId } = volume;
      await suite.with(volume, async () => {
        for (let turn = 0; turn < 2; turn += 1)
          await controller.controllerModifyVolume({ volumeId, mutableParameters });
        const unknown = controller.controllerModifyVolume({ volumeId, mutableParameters: { "no-such-key": "x" } });
        await assert.rejects(unknown, failsWith("invalid"));
      });
      const gone = controller.controllerModifyVolume({ volumeId: "never-was", mutableParameters });
      await assert.rejects(gone, failsWith("not-found"));
      await suite.remove(volumeId);
    },
  );
}
