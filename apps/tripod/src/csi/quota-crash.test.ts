import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { VolumeCapability_AccessMode_Mode as Mode } from "@tripod/api/csi";
import { connectDriver, type CsiDriverClient } from "@tripod/csi";
import { isRoot, projectOf, projectUse } from "@tripod/linux";
import { QuotaDisk, quotaFileSystems, TemporaryFolder, writeAsContainer } from "@tripod/linux/testing";
import { type DriverProcess, startDriver } from "./driver-process-fixture.ts";

const mebibyte = 1024 * 1024;
const mounted = {
  accessType: { case: "mount" as const, value: {} },
  accessMode: { mode: Mode.SINGLE_NODE_WRITER },
};

for (const type of quotaFileSystems)
  describe(`hostpath killed on ${type} with project quotas`, {
    skip: isRoot() ? QuotaDisk.missing(type) : "mounting needs root",
  }, () => {
    const start = (folder: TemporaryFolder, disk: QuotaDisk, failpoint?: string): Promise<DriverProcess> =>
      startDriver(folder, { args: ["--state", disk.path], ...(failpoint === undefined ? {} : { failpoint }) });
    const connect = (folder: TemporaryFolder): CsiDriverClient & Disposable =>
      connectDriver(folder.join("csi.sock"), { timeoutMs: 60_000 });
    const create = async (client: CsiDriverClient, name: string): Promise<string> => {
      const capacityRange = { requiredBytes: BigInt(8 * mebibyte) };
      const request = { name, capacityRange, volumeCapabilities: [mounted] };
      return (await client.controller.createVolume(request)).volume?.volumeId ?? "";
    };
    const projects = ({ path }: QuotaDisk): { name: string; id: number }[] =>
      readdirSync(join(path, "projects")).map((name) => ({ name, id: projectOf(join(path, "projects", name)).id }));

    for (const failpoint of ["hostpath.create.project-chosen", "hostpath.create.copied", "csi.local.create.made"])
      test(`at ${failpoint}, a volume asked for again has its limit, and what was never asked for again no project`, async () => {
        using folder = new TemporaryFolder("quota-crash");
        using disk = new QuotaDisk(type);
        for (const name of ["again", "never"]) {
          await using killed = await start(folder, disk, failpoint);
          using client = connect(folder);
          await assert.rejects(create(client, name));
          assert.equal(await killed.ended, "SIGKILL");
          assert.equal(projects(disk).length, 1);
        }
        const [left] = projects(disk);
        await using _again = await start(folder, disk);
        using client = connect(folder);
        assert.deepEqual(projects(disk), []);
        assert.deepEqual(projectUse(disk.path, left?.id ?? 0), { usedBytes: 0n, inodes: 0n, limitBytes: 0n });
        const volumeId = await create(client, "again");
        const targetPath = folder.join("target");
        await client.node.nodePublishVolume({ volumeId, targetPath, volumeCapability: mounted });
        assert.match(writeAsContainer(join(targetPath, "file"), 9 * mebibyte) ?? "", /quota exceeded|No space left/);
        await client.node.nodeUnpublishVolume({ volumeId, targetPath });
        assert.equal(projects(disk).length, 1);
        await client.controller.deleteVolume({ volumeId });
      });

    test("at hostpath.delete.unlimited, the deletion is ended after a restart", async () => {
      using folder = new TemporaryFolder("quota-crash");
      using disk = new QuotaDisk(type);
      let id = 0;
      {
        await using killed = await start(folder, disk, "hostpath.delete.unlimited");
        using client = connect(folder);
        const volumeId = await create(client, "deleted");
        id = projects(disk)[0]?.id ?? 0;
        await assert.rejects(client.controller.deleteVolume({ volumeId }));
        assert.equal(await killed.ended, "SIGKILL");
      }
      assert.notEqual(id, 0);
      assert.equal(projects(disk).length, 1);
      await using _again = await start(folder, disk);
      assert.deepEqual(projects(disk), []);
      assert.deepEqual(projectUse(disk.path, id), { usedBytes: 0n, inodes: 0n, limitBytes: 0n });
    });
  });
