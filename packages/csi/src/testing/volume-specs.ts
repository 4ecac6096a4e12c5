import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { PluginCapability_Service_Type as Service, VolumeCapability_AccessMode_Mode as Mode } from "@tripod/api/csi";
import { type ErrorCode, randomHex } from "@tripod/base";
import { failsWith, type Spec } from "./driver-suite.ts";

/** Who the driver is, and how volumes come and go. */
export function volumeSpecs(spec: Spec): void {
  spec("the driver tells who it is and is ready", async (suite) => {
    const info = await suite.client.identity.getPluginInfo({});
    assert.match(info.name, /^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$/);
    assert.notEqual(info.vendorVersion, "");
    assert.notEqual((await suite.client.identity.probe({})).ready, false);
  });

  spec("the node has an id, and a topology when the driver says that volumes have one", async (suite) => {
    assert.ok(suite.nodeId.length > 0 && Buffer.byteLength(suite.nodeId) <= 256);
    const { capabilities } = await suite.client.identity.getPluginCapabilities({});
    const services = capabilities.flatMap(({ type }) => (type.case === "service" ? [type.value.type] : []));
    const { accessibleTopology } = await suite.client.node.nodeGetInfo({});
    if (services.includes(Service.VOLUME_ACCESSIBILITY_CONSTRAINTS))
      assert.ok(Object.keys(accessibleTopology?.segments ?? {}).length > 0);
    assert.ok(services.includes(Service.CONTROLLER_SERVICE));
  });

  spec("creating a volume again by its name gives the same volume", async (suite) => {
    const volumeName = suite.newName();
    const [first, second] = [await suite.create(volumeName), await suite.create(volumeName)];
    assert.equal(first.volumeId, second.volumeId);
    assert.ok(first.capacityBytes === 0n || first.capacityBytes >= suite.sizeBytes);
    assert.ok(Buffer.byteLength(first.volumeId) <= 128);
    await suite.remove(first.volumeId);
  });

  spec("creating a volume of the same name with another size is ALREADY_EXISTS", async (suite) => {
    const volume = await suite.create("conformance-size");
    const requiredBytes = suite.sizeBytes * 2n;
    const other = {
      ...suite.createRequest("conformance-size"),
      capacityRange: { requiredBytes, limitBytes: requiredBytes },
    };
    await assert.rejects(suite.client.controller.createVolume(other), failsWith("already-exists"));
    await suite.remove(volume.volumeId);
  });

  spec("creating the same volume many times at once makes one", async (suite) => {
    const volumeName = suite.newName();
    const answers = await Promise.allSettled(Array.from({ length: 10 }, () => suite.create(volumeName)));
    const ids = new Set<string>();
    for (const answer of answers) {
      if (answer.status === "fulfilled") ids.add(answer.value.volumeId);
      else failsWith("aborted")(answer.reason);
    }
    assert.equal(ids.size, 1);
    for (const id of ids) await suite.remove(id);
  });

  const badCreates: { why: string; change: object; code: ErrorCode[] }[] = [
    { why: "no name", change: { name: "" }, code: ["invalid"] },
    { why: "a name of 129 bytes", change: { name: "n".repeat(129) }, code: ["invalid"] },
    { why: "no capabilities", change: { volumeCapabilities: [] }, code: ["invalid"] },
    {
      why: "no access type",
      change: { volumeCapabilities: [{ accessMode: { mode: Mode.SINGLE_NODE_WRITER } }] },
      code: ["invalid"],
    },
    {
      why: "no access mode",
      change: { volumeCapabilities: [{ accessType: { case: "mount", value: {} } }] },
      code: ["invalid"],
    },
    {
      why: "a limit below the size",
      change: { capacityRange: { requiredBytes: 2n, limitBytes: 1n } },
      code: ["invalid", "out-of-range"],
    },
    { why: "a negative size", change: { capacityRange: { requiredBytes: -1n } }, code: ["invalid", "out-of-range"] },
    {
      why: "an absurd size",
      change: { capacityRange: { requiredBytes: 1n << 62n } },
      code: ["out-of-range", "exhausted"],
    },
    {
      why: "a snapshot that does not exist",
      change: { volumeContentSource: { type: { case: "snapshot", value: { snapshotId: "none" } } } },
      code: ["not-found", "invalid"],
    },
  ];
  for (const { why, change, code } of badCreates) {
    spec(`creating a volume with ${why} is refused`, async (suite) => {
      await assert.rejects(
        suite.client.controller.createVolume({ ...suite.createRequest(suite.newName()), ...change }),
        failsWith(...code),
      );
    });
  }

  spec("deleting is OK for a volume that is gone or never was", async (suite) => {
    const { volumeId } = await suite.create();
    await suite.remove(volumeId);
    await suite.client.controller.deleteVolume({ volumeId });
    await suite.client.controller.deleteVolume({ volumeId: "never-was" });
    await assert.rejects(suite.client.controller.deleteVolume({ volumeId: "" }), failsWith("invalid"));
  });

  for (const volumeId of [
    "../../etc",
    "..",
    ".",
    "a/../../b",
    "/etc/passwd",
    "x\u0000y",
    "-rf",
    "%2e%2e",
    "v".repeat(128),
  ]) {
    spec(`the hostile volume id ${JSON.stringify(volumeId.slice(0, 20))} reaches nothing`, async (suite) => {
      const targetPath = join(suite.dir, `hostile-${randomHex(4)}`);
      const publishing = suite.client.node.nodePublishVolume({
        volumeId,
        targetPath,
        volumeCapability: suite.capability(),
      });
      await assert.rejects(publishing, failsWith("not-found", "invalid"));
      assert.equal(existsSync(targetPath), false);
      await suite.client.controller.deleteVolume({ volumeId }).catch(failsWith("invalid"));
      const validating = suite.client.controller.validateVolumeCapabilities({
        volumeId,
        volumeCapabilities: [suite.capability()],
      });
      await assert.rejects(validating, failsWith("not-found", "invalid"));
    });
  }

  spec("capabilities that the volume was made with are confirmed, and a missing volume is NOT_FOUND", async (suite) => {
    const { volumeId, volumeContext } = await suite.create();
    const volumeCapabilities = [suite.capability()];
    const { confirmed } = await suite.client.controller.validateVolumeCapabilities({
      volumeId,
      volumeContext,
      volumeCapabilities,
    });
    assert.equal(confirmed?.volumeCapabilities.length, 1);
    await suite.remove(volumeId);
    const again = suite.client.controller.validateVolumeCapabilities({ volumeId, volumeCapabilities });
    await assert.rejects(again, failsWith("not-found"));
    await assert.rejects(suite.client.controller.validateVolumeCapabilities({ volumeId }), failsWith("invalid"));
  });

  spec("a list in pages has every volume once, and a bad token is ABORTED", async (suite, context) => {
    if (suite.lacks(context, "LIST_VOLUMES")) return;
    const own = await Promise.all([suite.create(), suite.create(), suite.create()]);
    const seen: string[] = [];
    let startingToken = "";
    do {
      const page = await suite.client.controller.listVolumes({ maxEntries: 1, startingToken });
      assert.ok(page.entries.length <= 1);
      for (const { volume } of page.entries) seen.push(volume?.volumeId ?? "");
      startingToken = page.nextToken;
    } while (startingToken !== "");
    assert.equal(new Set(seen).size, seen.length);
    for (const { volumeId } of own) assert.ok(seen.includes(volumeId));
    await assert.rejects(suite.client.controller.listVolumes({ startingToken: "no token" }), failsWith("aborted"));
    await assert.rejects(suite.client.controller.listVolumes({ maxEntries: -1 }), failsWith("invalid"));
    for (const { volumeId } of own) await suite.remove(volumeId);
  });

  spec(
    "attaching can be repeated, and to an unknown node or of an unknown volume is NOT_FOUND",
    async (suite, context) => {
      if (suite.lacks(context, "PUBLISH_UNPUBLISH_VOLUME")) return;
      const { volumeId } = await suite.create();
      const request = { volumeId, nodeId: suite.nodeId, volumeCapability: suite.capability(), readonly: false };
      const first = await suite.client.controller.controllerPublishVolume(request);
      assert.deepEqual(
        (await suite.client.controller.controllerPublishVolume(request)).publishContext,
        first.publishContext,
      );
      await assert.rejects(
        suite.client.controller.controllerPublishVolume({ ...request, nodeId: "no-such-node" }),
        failsWith("not-found"),
      );
      await assert.rejects(
        suite.client.controller.controllerPublishVolume({ ...request, volumeId: "never-was" }),
        failsWith("not-found"),
      );
      for (let turn = 0; turn < 2; turn += 1)
        await suite.client.controller.controllerUnpublishVolume({ volumeId, nodeId: suite.nodeId });
      await suite.remove(volumeId);
    },
  );
}
