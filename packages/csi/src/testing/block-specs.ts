import assert from "node:assert/strict";
import { closeSync, fsyncSync, openSync, readSync, statSync, writeSync } from "node:fs";
import { type DriverSuite, failsWith, type Spec } from "./driver-suite.ts";

/** Writes to the start of a device, past what the kernel keeps of it in memory. */
export function writeBlock(path: string, text: string, offset = 0): void {
  const device = openSync(path, "r+");
  try {
    writeSync(device, text, offset);
    fsyncSync(device);
  } finally {
    closeSync(device);
  }
}

export function readBlock(path: string, bytes: number, offset = 0): string {
  const device = openSync(path, "r");
  try {
    const read = Buffer.alloc(bytes);
    readSync(device, read, 0, bytes, offset);
    return read.toString();
  } finally {
    closeSync(device);
  }
}

export const blockVolume = (suite: DriverSuite) => ({ volumeCapabilities: [suite.capability({ block: true })] });

/** Volumes as block devices. */
export function blockSpecs(spec: Spec): void {
  spec("a block volume is a device at its target, and keeps what is written", async (suite, context) => {
    if (suite.driver.block !== true) return context.skip("the driver serves no block devices");
    const volume = await suite.create(suite.newName(), blockVolume(suite));
    await suite.with(
      volume,
      (path) => {
        assert.ok(statSync(path).isBlockDevice());
        writeBlock(path, "raw");
      },
      { block: true },
    );
    await suite.with(volume, (path) => assert.equal(readBlock(path, 3), "raw"), { block: true });
    await suite.remove(volume.volumeId);
  });

  spec("a block volume that is published read-only cannot be written", async (suite, context) => {
    if (suite.driver.block !== true) return context.skip("the driver serves no block devices");
    const volume = await suite.create(suite.newName(), blockVolume(suite));
    const write = (path: string) => assert.throws(() => writeBlock(path, "x"), /EROFS|EACCES|EPERM/);
    await suite.with(volume, write, { block: true, readonly: true });
    await suite.remove(volume.volumeId);
  });

  spec("a block volume is not mounted, and a mounted one is no device", async (suite, context) => {
    if (suite.driver.block !== true) return context.skip("the driver serves no block devices");
    const block = await suite.create(suite.newName(), blockVolume(suite));
    const mounted = await suite.create();
    await assert.rejects(suite.publish(block), failsWith("invalid", "failed-precondition"));
    await assert.rejects(suite.publish(mounted, { block: true }), failsWith("invalid", "failed-precondition"));
    for (const { volumeId } of [block, mounted]) {
      if (suite.attaches) await suite.client.controller.controllerUnpublishVolume({ volumeId, nodeId: suite.nodeId });
      await suite.remove(volumeId);
    }
  });
}
