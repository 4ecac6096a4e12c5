import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { VolumeCapability_AccessMode_Mode as Mode } from "@tripod/api/csi";
import { connectDriver } from "@tripod/csi";
import { isMountPoint, isRoot, mountInfo } from "@tripod/linux";
import { TemporaryFolder } from "@tripod/linux/testing";
import { startDriver as start } from "./driver-process-fixture.ts";

const capability = { accessType: { case: "mount" as const, value: {} }, accessMode: { mode: Mode.SINGLE_NODE_WRITER } };

describe("tripod csi serve", { skip: isRoot() ? false : "mounting needs root", concurrency: 2 }, () => {
  test("SIGTERM ends it in order: exit code 0, no socket left", async () => {
    using folder = new TemporaryFolder("csi-serve");
    await using driver = await start(folder, { args: ["--registration-dir", folder.join("reg")] });
    assert.deepEqual(readdirSync(folder.join("reg")), ["hostpath.csi.tripod.dev-reg.sock"]);
    driver.child.kill("SIGTERM");
    assert.equal(await driver.ended, 0);
    assert.equal(existsSync(folder.join("csi.sock")), false);
    assert.deepEqual(readdirSync(folder.join("reg")), []);
  });

  test("with --exit-with-parent it ends when its standard input closes", async () => {
    using folder = new TemporaryFolder("csi-serve");
    await using driver = await start(folder, { args: ["--exit-with-parent"] });
    driver.child.stdin?.end();
    assert.equal(await driver.ended, 0);
  });

  test("a state folder has one driver at a time, killed or not, and one that cannot be made is an error", async () => {
    using folder = new TemporaryFolder("csi-serve");
    {
      await using driver = await start(folder);
      await assert.rejects(start(folder), /another driver process serves it/);
      driver.child.kill("SIGKILL");
      await driver.ended;
    }
    await using _again = await start(folder);
    await assert.rejects(start(folder, { args: ["--state", "/proc/nope/state"] }), /ENOENT/);
  });

  const target = (folder: TemporaryFolder): string => folder.join("pods/target");
  const request = { name: "pvc-1", volumeCapabilities: [capability] };

  test("published volumes stay mounted, with their data, while the driver is killed and started again", async () => {
    using folder = new TemporaryFolder("csi-serve");
    const publication = { volumeId: "", targetPath: target(folder), volumeCapability: capability };
    {
      await using _driver = await start(folder);
      using client = connectDriver(folder.join("csi.sock"));
      publication.volumeId = (await client.controller.createVolume(request)).volume?.volumeId ?? "";
      await client.node.nodePublishVolume(publication);
      writeFileSync(join(target(folder), "file"), "kept");
    }
    assert.ok(isMountPoint(target(folder)));
    await using _driver = await start(folder);
    using client = connectDriver(folder.join("csi.sock"));
    await client.node.nodePublishVolume(publication);
    assert.equal(readFileSync(join(target(folder), "file"), "utf8"), "kept");
    assert.equal(mountInfo().filter(({ mountPoint }) => mountPoint === target(folder)).length, 1);
    await client.node.nodeUnpublishVolume(publication);
    await client.controller.deleteVolume(publication);
  });
});
