import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { VolumeCapability_AccessMode_Mode as Mode } from "@tripod/api/csi";
import { connectDriver } from "@tripod/csi";
import { mountInfo } from "@tripod/linux";
import { TemporaryFolder } from "@tripod/linux/testing";
import { noNfsServer, startNfsServer, type TestNfsServer, unmountBelow } from "@tripod/testing";
import { startDriver } from "./driver-process-fixture.ts";

const volumeCapability = {
  accessType: { case: "mount" as const, value: {} },
  accessMode: { mode: Mode.MULTI_NODE_MULTI_WRITER },
};

/** All that happens to volumes, with what is in them looked at. Every step may be asked for again after a crash. */
async function life(folder: TemporaryFolder, { server, share }: TestNfsServer): Promise<void> {
  using client = connectDriver(folder.join("csi.sock"), { timeoutMs: 30_000 });
  const { controller, node } = client;
  const create = async (name: string, more: object = {}) => {
    const common = { volumeCapabilities: [volumeCapability], parameters: { server, share } };
    const { volume } = await controller.createVolume({ name, ...common, ...more });
    assert.ok(volume !== undefined);
    return volume;
  };
  const published = async ({ volumeId }: { volumeId: string }, use: (path: string) => Promise<void> | void) => {
    const targetPath = folder.join("pods", volumeId.split("#")[2] ?? "");
    await node.nodePublishVolume({ volumeId, targetPath, volumeCapability });
    await use(targetPath);
    await node.nodeUnpublishVolume({ volumeId, targetPath });
  };
  mkdirSync(folder.join("pods"), { recursive: true });
  const first = await create("first");
  let snapshotId = "";
  await published(first, async (path) => {
    writeFileSync(join(path, "file"), "kept");
    const { snapshot } = await controller.createSnapshot({ name: "snapshot", sourceVolumeId: first.volumeId });
    snapshotId = snapshot?.snapshotId ?? "";
  });
  const source = { type: { case: "snapshot" as const, value: { snapshotId } } };
  const second = await create("second", { volumeContentSource: source });
  await published(second, (path) => assert.equal(readFileSync(join(path, "file"), "utf8"), "kept"));
  await controller.deleteSnapshot({ snapshotId });
  for (const { volumeId } of [first, second]) await controller.deleteVolume({ volumeId });
}

function assertNothingLeft(folder: TemporaryFolder, { dir }: TestNfsServer): void {
  assert.deepEqual(readdirSync(dir), [".tripod-csi"]);
  for (const name of readdirSync(join(dir, ".tripod-csi")))
    assert.deepEqual(readdirSync(join(dir, ".tripod-csi", name)), [], name);
  assert.deepEqual(readdirSync(folder.join("pods")), []);
  assert.deepEqual(readdirSync(folder.join("state/published")), []);
  const left = mountInfo().filter(({ mountPoint }) => mountPoint.startsWith(folder.path));
  assert.deepEqual(left, []);
}

const failpoints = [
  "nfs.create.folder-made",
  "nfs.create.recorded",
  "nfs.create.begun",
  "nfs.create.copied",
  "nfs.create.moved",
  "nfs.publish.target-made",
  "nfs.publish.mounted",
  "nfs.unpublish.unmounted",
  "nfs.snapshot.copied",
  "nfs.snapshot.moved",
  "nfs.delete-snapshot.moved",
  "nfs.delete.moved",
  "nfs.delete.forgotten",
];

describe("nfs killed", { skip: noNfsServer }, () => {
  for (const failpoint of failpoints)
    test(`at ${failpoint}, the same calls asked for again end well and leave nothing`, async () => {
      await using server = await startNfsServer();
      using folder = new TemporaryFolder("nfs-crash");
      try {
        {
          // The process that does the step dies there, and then the driver.
          await using killed = await startDriver(folder, { driver: "nfs", failpoint });
          await assert.rejects(life(folder, server), /ended without a word/);
          killed.child.kill("SIGKILL");
          await killed.ended;
        }
        await using again = await startDriver(folder, { driver: "nfs" });
        await life(folder, server);
        again.child.kill("SIGTERM");
        assert.equal(await again.ended, 0);
        assertNothingLeft(folder, server);
      } finally {
        unmountBelow(folder.path);
      }
    });

  test("mounts stay while the driver is killed and started again, and it knows them", async () => {
    await using server = await startNfsServer();
    using folder = new TemporaryFolder("nfs-crash");
    const targetPath = folder.join("pods/v");
    mkdirSync(folder.join("pods"));
    const volumeId = `${server.server}#share#v##`;
    try {
      {
        await using killed = await startDriver(folder, { driver: "nfs" });
        using client = connectDriver(folder.join("csi.sock"), { timeoutMs: 30_000 });
        const { server: host, share } = server;
        const parameters = { server: host, share };
        await client.controller.createVolume({ name: "v", volumeCapabilities: [volumeCapability], parameters });
        await client.node.nodePublishVolume({ volumeId, targetPath, volumeCapability });
        killed.child.kill("SIGKILL");
        await killed.ended;
      }
      writeFileSync(join(targetPath, "file"), "written while no driver was there");
      await using again = await startDriver(folder, { driver: "nfs" });
      using client = connectDriver(folder.join("csi.sock"), { timeoutMs: 30_000 });
      await client.node.nodePublishVolume({ volumeId, targetPath, volumeCapability });
      assert.ok((await client.node.nodeGetVolumeStats({ volumeId, volumePath: targetPath })).usage.length > 0);
      assert.equal(mountInfo().filter(({ mountPoint }) => mountPoint === targetPath).length, 1);
      await client.node.nodeUnpublishVolume({ volumeId, targetPath });
      assert.ok(existsSync(join(server.dir, "v/file")));
      await client.controller.deleteVolume({ volumeId });
      again.child.kill("SIGTERM");
      assert.equal(await again.ended, 0);
      assertNothingLeft(folder, server);
    } finally {
      unmountBelow(folder.path);
    }
  });
});
