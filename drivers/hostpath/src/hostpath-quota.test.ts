import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { VolumeCapability_AccessMode_Mode as Mode, VolumeUsage_Unit as Unit } from "@tripod/api/csi";
import { testDriver } from "@tripod/csi/testing";
import { isRoot, limitProject, projectOf, projectUse, setProject, unusedProject } from "@tripod/linux";
import { QuotaDisk, quotaFileSystems, writeAsContainer } from "@tripod/linux/testing";
import { interop } from "@tripod/testing";
import { capability, served, type ServedDriver } from "./served-driver-fixture.ts";

const mebibyte = 1024 * 1024;
const sizeBytes = 8 * mebibyte;
const refused = /quota exceeded|No space left/;

const projectOfVolume = ({ stateDir }: ServedDriver, volumeId: string): number =>
  projectOf(join(stateDir, "projects", volumeId)).id;

async function create({ client }: ServedDriver, name: string, more: object = {}): Promise<string> {
  const capacityRange = { requiredBytes: BigInt(sizeBytes) };
  const request = { name, capacityRange, volumeCapabilities: [capability()], ...more };
  return (await client.controller.createVolume(request)).volume?.volumeId ?? "";
}

/** Lets `use` work with a published volume. */
async function published(
  { client, folder }: ServedDriver,
  volumeId: string,
  use: (path: string) => Promise<void> | void,
): Promise<void> {
  const target = { volumeId, targetPath: folder.join(volumeId) };
  await client.node.nodePublishVolume({ ...target, volumeCapability: capability() });
  await use(target.targetPath);
  await client.node.nodeUnpublishVolume(target);
}

const fill = (path: string): string | undefined => writeAsContainer(join(path, "much"), sizeBytes + mebibyte);

for (const type of quotaFileSystems) {
  const skip = isRoot() ? QuotaDisk.missing(type) : "mounting needs root";

  const callee = `Tripod's hostpath driver, ${type} with project quotas`;
  describe(interop({ interface: "CSI", caller: "Tripod's conformance suite", callee }), { skip }, () => {
    const stack = new AsyncDisposableStack();
    testDriver(`hostpath, ${type}`, {
      start: async () => {
        const disk = stack.use(new QuotaDisk(type));
        const driver = stack.use(await served({ disk: disk.path }));
        return { endpoint: driver.endpoint, block: true };
      },
      stop: () => stack.disposeAsync(),
    });
  });

  describe(`hostpath on ${type} with project quotas`, { skip }, () => {
    test("a volume holds as much as its size and no more, beside one that is full; it grows, and statistics are its own", async () => {
      using disk = new QuotaDisk(type);
      await using driver = await served({ disk: disk.path });
      const { controller, node } = driver.client;
      const [full, other] = [await create(driver, "full"), await create(driver, "other")];
      const ids = [full, other].map((volumeId) => projectOfVolume(driver, volumeId));
      assert.equal(new Set([...ids, 0]).size, 3, String(ids));
      const usage = async (volumeId: string, volumePath: string): Promise<{ total: number; used: number }> => {
        const bytes = (await node.nodeGetVolumeStats({ volumeId, volumePath })).usage.find(
          ({ unit }) => unit === Unit.BYTES,
        );
        return { total: Number(bytes?.total), used: Number(bytes?.used) };
      };
      await published(driver, full, async (path) => {
        assert.equal(writeAsContainer(join(path, "fits"), sizeBytes - mebibyte), undefined);
        assert.match(fill(path) ?? "", refused);
        const { total, used } = await usage(full, path);
        assert.equal(total, sizeBytes);
        assert.ok(used > total - mebibyte && used <= total, String(used));
        rmSync(join(path, "much"));
        await controller.controllerExpandVolume({
          volumeId: full,
          capacityRange: { requiredBytes: BigInt(3 * sizeBytes) },
        });
        assert.equal(fill(path), undefined);
        assert.equal((await usage(full, path)).total, 3 * sizeBytes);
      });
      await published(driver, other, async (path) => {
        assert.ok((await usage(other, path)).used < mebibyte);
        assert.equal(writeAsContainer(join(path, "fits"), sizeBytes - mebibyte), undefined);
      });
      for (const volumeId of [full, other]) await controller.deleteVolume({ volumeId });
      for (const id of ids) assert.deepEqual(projectUse(disk.path, id), { usedBytes: 0n, inodes: 0n, limitBytes: 0n });
      assert.deepEqual(readdirSync(join(driver.stateDir, "projects")), []);
    });

    test("copies count for themselves: of a snapshot, which has no limit, and of a volume", async () => {
      using disk = new QuotaDisk(type);
      await using driver = await served({ disk: disk.path });
      const { controller } = driver.client;
      const source = await create(driver, "source");
      await published(driver, source, (path) =>
        assert.equal(writeAsContainer(join(path, "file"), 4 * mebibyte), undefined),
      );
      const { snapshot } = await controller.createSnapshot({ name: "snapshot", sourceVolumeId: source });
      const snapshotId = snapshot?.snapshotId ?? "";
      assert.deepEqual(projectOf(join(driver.stateDir, "snapshots", snapshotId)), { id: 0, handsDown: false });
      const contents = [
        { case: "snapshot" as const, value: { snapshotId } },
        { case: "volume" as const, value: { volumeId: source } },
      ];
      for (const content of contents) {
        const copy = await create(driver, content.case, { volumeContentSource: { type: content } });
        const id = projectOfVolume(driver, copy);
        assert.notEqual(id, projectOfVolume(driver, source));
        const { usedBytes, limitBytes } = projectUse(disk.path, id);
        assert.ok(usedBytes >= BigInt(4 * mebibyte), String(usedBytes));
        assert.equal(limitBytes, BigInt(sizeBytes));
        await published(driver, copy, (path) => {
          assert.equal(statSync(join(path, "file")).size, 4 * mebibyte);
          assert.match(fill(path) ?? "", refused);
        });
      }
    });

    test("limits outlive the driver, and what was grown while the disk was mounted without quotas has its size when they are back", async () => {
      using disk = new QuotaDisk(type);
      let volumeId = "";
      let unlimited = "";
      let id = 0;
      {
        await using driver = await served({ disk: disk.path });
        volumeId = await create(driver, "kept");
        id = projectOfVolume(driver, volumeId);
      }
      disk.remount("");
      {
        await using driver = await served({ disk: disk.path });
        unlimited = await create(driver, "unlimited");
        const capacityRange = { requiredBytes: BigInt(2 * sizeBytes) };
        await driver.client.controller.controllerExpandVolume({ volumeId, capacityRange });
        await published(driver, unlimited, (path) => assert.equal(fill(path), undefined));
      }
      disk.remount("prjquota");
      await using driver = await served({ disk: disk.path });
      assert.equal(projectOfVolume(driver, volumeId), id);
      await published(driver, volumeId, (path) => {
        assert.equal(projectUse(disk.path, id).limitBytes, BigInt(2 * sizeBytes));
        assert.equal(fill(path), undefined);
        assert.match(writeAsContainer(join(path, "more"), sizeBytes) ?? "", refused);
      });
      assert.deepEqual(readdirSync(join(driver.stateDir, "projects")), [volumeId]);
      for (const each of [volumeId, unlimited]) await driver.client.controller.deleteVolume({ volumeId: each });
    });

    test("a volume whose user gave it to another project leaves that one's limit alone", async () => {
      using disk = new QuotaDisk(type);
      await using driver = await served({ disk: disk.path });
      const volumeId = await create(driver, "given-away");
      const id = unusedProject(disk.path);
      limitProject(disk.path, id, 4096n);
      await published(driver, volumeId, (path) => setProject(path, { id, handsDown: true }));
      const capacityRange = { requiredBytes: BigInt(2 * sizeBytes) };
      await driver.client.controller.controllerExpandVolume({ volumeId, capacityRange });
      await published(driver, volumeId, () => undefined);
      await driver.client.controller.deleteVolume({ volumeId });
      assert.equal(projectUse(disk.path, id).limitBytes, 4096n);
    });

    test("volumes of a state folder that is of one project count for that", async () => {
      using disk = new QuotaDisk(type);
      const state = join(disk.path, "state");
      mkdirSync(state);
      const id = unusedProject(disk.path);
      setProject(state, { id, handsDown: true });
      limitProject(disk.path, id, BigInt(64 * mebibyte));
      await using driver = await served({ disk: disk.path });
      const volumeId = await create(driver, "one");
      assert.deepEqual(readdirSync(join(state, "projects")), []);
      await published(driver, volumeId, (path) => assert.equal(fill(path), undefined));
      assert.ok(projectUse(disk.path, id).usedBytes > BigInt(sizeBytes));
      await driver.client.controller.deleteVolume({ volumeId });
      assert.equal(projectUse(disk.path, id).limitBytes, BigInt(64 * mebibyte));
    });

    test("block devices have no project: their files have the size", async () => {
      using disk = new QuotaDisk(type);
      await using driver = await served({ disk: disk.path });
      const block = {
        accessType: { case: "block" as const, value: {} },
        accessMode: { mode: Mode.SINGLE_NODE_WRITER },
      };
      const volumeId = await create(driver, "raw", { volumeCapabilities: [block] });
      assert.equal(statSync(join(driver.stateDir, "blocks", volumeId)).size, sizeBytes);
      assert.deepEqual(readdirSync(join(driver.stateDir, "projects")), []);
    });
  });
}
