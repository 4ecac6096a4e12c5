import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { VolumeCapability_AccessMode_Mode as Mode } from "@tripod/api/csi";
import { isTripodError } from "@tripod/base";
import { testDriver } from "@tripod/csi/testing";
import { isMountPoint, isRoot, mountInfo, mountTmpfs, unmount } from "@tripod/linux";
import { TemporaryFolder } from "@tripod/linux/testing";
import { interop } from "@tripod/testing";
import { hostpathTopologyKey as topologyKey } from "./hostpath-driver.ts";
import { capability, newVolume, served, type ServedDriver } from "./served-driver-fixture.ts";

for (const attach of [false, true]) {
  const callee = `Tripod's hostpath driver${attach ? " with --attach" : ""}`;
  describe(interop({ interface: "CSI", caller: "Tripod's conformance suite", callee }), () => {
    let driver: ServedDriver;
    testDriver("hostpath", {
      start: async () => {
        driver = await served({ attach });
        return { endpoint: driver.endpoint, block: true, mountFlags: ["noatime", "noexec"] };
      },
      stop: async () => driver[Symbol.asyncDispose](),
    });
  });
}

describe("hostpath", { skip: isRoot() ? false : "mounting needs root" }, () => {
  test("volumes are of this node: elsewhere there is no capacity and no volume", async () => {
    await using driver = await served();
    const { controller, node } = driver.client;
    const here = { segments: { [topologyKey]: "node-a" } };
    const elsewhere = { segments: { [topologyKey]: "node-b" } };
    assert.deepEqual({ ...(await node.nodeGetInfo({})).accessibleTopology?.segments }, here.segments);
    const request = { name: "topology", volumeCapabilities: [capability()] };
    const away = controller.createVolume({ ...request, accessibilityRequirements: { requisite: [elsewhere] } });
    await assert.rejects(away, (error) => isTripodError(error, "exhausted"));
    const both = { requisite: [elsewhere, here], preferred: [elsewhere] };
    const { volume } = await controller.createVolume({ ...request, accessibilityRequirements: both });
    assert.deepEqual(
      volume?.accessibleTopology.map(({ segments }) => segments[topologyKey]),
      ["node-a"],
    );
    assert.equal((await controller.getCapacity({ accessibleTopology: elsewhere })).availableCapacity, 0n);
    assert.ok((await controller.getCapacity({ accessibleTopology: here })).availableCapacity > 0n);
  });

  for (const [why, change] of [
    ["volumes of many nodes", { volumeCapabilities: [capability(Mode.MULTI_NODE_MULTI_WRITER)] }],
    [
      "mount flags that a bind mount has not",
      { volumeCapabilities: [capability(Mode.SINGLE_NODE_WRITER, ["discard"])] },
    ],
    ["unknown parameters", { parameters: { tpye: "fast" } }],
  ] satisfies [string, object][]) {
    test(`${why} are refused`, async () => {
      await using driver = await served();
      const request = { name: "bad", volumeCapabilities: [capability()], ...change };
      await assert.rejects(driver.client.controller.createVolume(request), (error) => isTripodError(error, "invalid"));
    });
  }

  test("mount flags hold", async () => {
    await using driver = await served();
    const volumeId = await newVolume(driver.client);
    const targetPath = driver.folder.join("target");
    const volumeCapability = capability(Mode.SINGLE_NODE_WRITER, ["noexec", "nosuid"]);
    await driver.client.node.nodePublishVolume({ volumeId, targetPath, volumeCapability });
    const options = mountInfo().find(({ mountPoint }) => mountPoint === targetPath)?.options ?? [];
    for (const flag of ["rw", "noexec", "nosuid"]) assert.ok(options.includes(flag), `${flag} in ${options.join()}`);
    await driver.client.node.nodeUnpublishVolume({ volumeId, targetPath });
  });

  test("a volume with one writer is published in one place at a time", async () => {
    await using driver = await served();
    const { node } = driver.client;
    const volumeId = await newVolume(driver.client);
    const at = (name: string, mode: Mode) => ({
      volumeId,
      targetPath: driver.folder.join(name),
      volumeCapability: capability(mode),
    });
    const first = at("one", Mode.SINGLE_NODE_SINGLE_WRITER);
    await node.nodePublishVolume(first);
    const second = node.nodePublishVolume(at("two", Mode.SINGLE_NODE_SINGLE_WRITER));
    await assert.rejects(second, (error) => isTripodError(error, "failed-precondition"));
    await node.nodeUnpublishVolume(first);
    const places = [at("two", Mode.SINGLE_NODE_MULTI_WRITER), at("three", Mode.SINGLE_NODE_MULTI_WRITER)];
    await Promise.all(places.map((place) => node.nodePublishVolume(place)));
    writeFileSync(driver.folder.join("two/file"), "seen");
    assert.equal(readFileSync(driver.folder.join("three/file"), "utf8"), "seen");
    for (const place of places) await node.nodeUnpublishVolume(place);
  });

  test("a published volume is not deleted", async () => {
    await using driver = await served();
    const { controller, node } = driver.client;
    const volumeId = await newVolume(driver.client);
    const target = { volumeId, targetPath: driver.folder.join("t") };
    await node.nodePublishVolume({ ...target, volumeCapability: capability() });
    await assert.rejects(controller.deleteVolume({ volumeId }), (error) => isTripodError(error, "failed-precondition"));
    await node.nodeUnpublishVolume(target);
    await controller.deleteVolume({ volumeId });
    assert.deepEqual(readdirSync(join(driver.stateDir, "volumes")), []);
  });

  test("targets that are links, files, mounts of others or the driver's own folders are refused", async () => {
    await using driver = await served();
    const { folder, client, stateDir } = driver;
    const volumeId = await newVolume(client);
    mkdirSync(folder.join("elsewhere"));
    symlinkSync(folder.join("elsewhere"), folder.join("link"));
    writeFileSync(folder.join("file"), "x");
    mkdirSync(folder.join("busy"));
    mountTmpfs(folder.join("busy"));
    for (const targetPath of [
      folder.join("link"),
      folder.join("file"),
      folder.join("busy"),
      join(stateDir, "volumes/x"),
    ]) {
      const publishing = client.node.nodePublishVolume({ volumeId, targetPath, volumeCapability: capability() });
      await assert.rejects(publishing, (error) => isTripodError(error, "failed-precondition", "invalid"), targetPath);
    }
    assert.equal(isMountPoint(folder.join("elsewhere")), false);
    await client.node.nodeUnpublishVolume({ volumeId, targetPath: folder.join("busy") });
    assert.ok(isMountPoint(folder.join("busy")), "unpublishing takes nothing away that was not published");
    unmount(folder.join("busy"));
  });

  test("links inside a volume that point out of it are deleted, not followed", async () => {
    await using driver = await served();
    const volumeId = await newVolume(driver.client);
    writeFileSync(driver.folder.join("precious"), "x");
    symlinkSync(driver.folder.path, join(driver.stateDir, "volumes", volumeId, "out"));
    await driver.client.controller.deleteVolume({ volumeId });
    assert.ok(existsSync(driver.folder.join("precious")));
  });

  test("a mount that was lost, as by a reboot, is made again", async () => {
    await using driver = await served();
    const volumeId = await newVolume(driver.client);
    const request = { volumeId, targetPath: driver.folder.join("t"), volumeCapability: capability(), readonly: true };
    await driver.client.node.nodePublishVolume(request);
    unmount(request.targetPath);
    await driver.client.node.nodePublishVolume(request);
    assert.ok(isMountPoint(request.targetPath));
    assert.throws(() => writeFileSync(join(request.targetPath, "x"), ""), /EROFS/);
    await driver.client.node.nodeUnpublishVolume(request);
  });

  test("a copy for which the disk has no room is refused, and nothing of it stays", async () => {
    using disk = new TemporaryFolder("hostpath-disk");
    mountTmpfs(disk.path, { sizeBytes: 8 * 1024 * 1024 });
    await using driver = await served({ disk: disk.path });
    const { controller } = driver.client;
    const request = { capacityRange: { requiredBytes: 1n }, volumeCapabilities: [capability()] };
    const { volume } = await controller.createVolume({ ...request, name: "source" });
    const volumeId = volume?.volumeId ?? "";
    writeFileSync(join(driver.stateDir, "volumes", volumeId, "much"), Buffer.alloc(5 * 1024 * 1024));
    const volumeContentSource = { type: { case: "volume" as const, value: { volumeId } } };
    const copying = controller.createVolume({ ...request, name: "copy", volumeContentSource });
    await assert.rejects(copying, (error) => isTripodError(error, "exhausted"));
    assert.deepEqual(readdirSync(join(driver.stateDir, "making")), []);
  });

  test("with --attach a volume is published only while attached", async () => {
    await using driver = await served({ attach: true });
    const { controller, node } = driver.client;
    const volumeId = await newVolume(driver.client);
    const request = { volumeId, targetPath: driver.folder.join("t"), volumeCapability: capability() };
    await assert.rejects(node.nodePublishVolume(request), (error) => isTripodError(error, "failed-precondition"));
    await controller.controllerPublishVolume({ volumeId, nodeId: "node-a", volumeCapability: capability() });
    await node.nodePublishVolume(request);
    await assert.rejects(controller.deleteVolume({ volumeId }), (error) => isTripodError(error, "failed-precondition"));
    await node.nodeUnpublishVolume(request);
    await controller.controllerUnpublishVolume({ volumeId, nodeId: "node-a" });
    await controller.deleteVolume({ volumeId });
  });
});
