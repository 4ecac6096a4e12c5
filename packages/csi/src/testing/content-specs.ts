import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { blockVolume, readBlock, writeBlock } from "./block-specs.ts";
import { failsWith, type Spec } from "./driver-suite.ts";
import { takeSnapshot } from "./snapshot-specs.ts";

export const fromSnapshot = (snapshotId: string) => ({
  volumeContentSource: { type: { case: "snapshot" as const, value: { snapshotId } } },
});
export const fromVolume = (volumeId: string) => ({
  volumeContentSource: { type: { case: "volume" as const, value: { volumeId } } },
});

/** New volumes that hold what a snapshot, or another volume, holds. */
export function contentSpecs(spec: Spec): void {
  spec(
    "a volume from a snapshot holds what the source held at that time, and both go their own ways",
    async (suite, context) => {
      if (suite.lacks(context, "CREATE_DELETE_SNAPSHOT")) return;
      const source = await suite.create();
      let snapshotId = "";
      await suite.with(source, async (path) => {
        writeFileSync(join(path, "file"), "before");
        ({ snapshotId } = await takeSnapshot(suite, source.volumeId));
        writeFileSync(join(path, "file"), "after");
        writeFileSync(join(path, "later"), "x");
      });
      const restored = await suite.create(suite.newName(), fromSnapshot(snapshotId));
      const origin = restored.contentSource?.type;
      assert.ok(origin?.case === "snapshot" && origin.value.snapshotId === snapshotId, "the volume names its source");
      await suite.with(restored, (path) => {
        assert.equal(readFileSync(join(path, "file"), "utf8"), "before");
        assert.equal(existsSync(join(path, "later")), false);
        writeFileSync(join(path, "file"), "restored");
      });
      // Both at once, which file systems of one identity would not bear.
      await suite.with(source, async (path) => {
        assert.equal(readFileSync(join(path, "file"), "utf8"), "after");
        await suite.with(restored, (other) => assert.equal(readFileSync(join(other, "file"), "utf8"), "restored"));
      });
      await suite.remove(source.volumeId);
      const again = await suite.create(suite.newName(), fromSnapshot(snapshotId));
      await suite.with(again, (path) => assert.equal(readFileSync(join(path, "file"), "utf8"), "before"));
      await suite.client.controller.deleteSnapshot({ snapshotId });
      for (const { volumeId } of [restored, again]) await suite.remove(volumeId);
    },
  );

  spec("a clone of a volume in use holds what that held", async (suite, context) => {
    if (suite.lacks(context, "CLONE_VOLUME")) return;
    const source = await suite.create();
    await suite.with(source, async (path) => {
      writeFileSync(join(path, "file"), "cloned");
      const clone = await suite.create(suite.newName(), fromVolume(source.volumeId));
      writeFileSync(join(path, "file"), "changed");
      await suite.with(clone, (other) => assert.equal(readFileSync(join(other, "file"), "utf8"), "cloned"));
      await suite.remove(clone.volumeId);
    });
    await suite.remove(source.volumeId);
  });

  spec("a larger volume from a snapshot is that large, and a smaller one is refused", async (suite, context) => {
    if (suite.lacks(context, "CREATE_DELETE_SNAPSHOT")) return;
    const source = await suite.create();
    const { snapshotId } = await takeSnapshot(suite, source.volumeId);
    const larger = { ...fromSnapshot(snapshotId), capacityRange: { requiredBytes: suite.sizeBytes * 2n } };
    const restored = await suite.create(suite.newName(), larger);
    assert.ok(restored.capacityBytes >= suite.sizeBytes * 2n);
    await suite.with(restored, (path) => writeFileSync(join(path, "file"), Buffer.alloc(Number(suite.sizeBytes))));
    const limited = {
      ...fromSnapshot(snapshotId),
      capacityRange: { requiredBytes: 1n, limitBytes: suite.sizeBytes / 2n },
    };
    await assert.rejects(suite.create(suite.newName(), limited), failsWith("out-of-range", "invalid"));
    await suite.client.controller.deleteSnapshot({ snapshotId });
    for (const { volumeId } of [source, restored]) await suite.remove(volumeId);
  });

  spec("a block device is restored from its snapshot", async (suite, context) => {
    if (suite.lacks(context, "CREATE_DELETE_SNAPSHOT")) return;
    if (suite.driver.block !== true) return context.skip("the driver serves no block devices");
    const source = await suite.create(suite.newName(), blockVolume(suite));
    await suite.with(source, (path) => writeBlock(path, "raw", 4096), { block: true });
    const { snapshotId } = await takeSnapshot(suite, source.volumeId);
    const restored = await suite.create(suite.newName(), { ...blockVolume(suite), ...fromSnapshot(snapshotId) });
    await suite.with(restored, (path) => assert.equal(readBlock(path, 3, 4096), "raw"), { block: true });
    await suite.client.controller.deleteSnapshot({ snapshotId });
    for (const { volumeId } of [source, restored]) await suite.remove(volumeId);
  });

  spec("a source that is not there is NOT_FOUND, and leaves no volume", async (suite, context) => {
    if (suite.lacks(context, "CLONE_VOLUME")) return;
    const name = suite.newName();
    await assert.rejects(suite.create(name, fromVolume("never-was")), failsWith("not-found"));
    const empty = await suite.create(name);
    assert.equal(empty.contentSource, undefined);
    await suite.remove(empty.volumeId);
  });

  spec("a volume of the same name with another source is ALREADY_EXISTS", async (suite, context) => {
    if (suite.lacks(context, "CLONE_VOLUME")) return;
    const [one, other] = [await suite.create(), await suite.create()];
    const name = suite.newName();
    const clone = await suite.create(name, fromVolume(one.volumeId));
    assert.equal((await suite.create(name, fromVolume(one.volumeId))).volumeId, clone.volumeId);
    await assert.rejects(suite.create(name, fromVolume(other.volumeId)), failsWith("already-exists"));
    for (const { volumeId } of [clone, one, other]) await suite.remove(volumeId);
  });
}
