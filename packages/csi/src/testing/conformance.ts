import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import {
  ControllerServiceCapability_RPC_Type as ControllerRpc,
  NodeServiceCapability_RPC_Type as NodeRpc,
  PluginCapability_Service_Type as Service,
  type Volume,
  VolumeCapability_AccessMode_Mode as Mode,
  VolumeUsage_Unit as Unit,
} from "@tripod/api/csi";
import { type ErrorCode, isTripodError, randomHex } from "@tripod/base";
import { connectDriver, type CsiDriverClient } from "../connect-driver.ts";

/** A driver that is served somewhere, in a state in which the suite may make and remove volumes of its own. */
export interface DriverUnderTest {
  /** unix:///path or the bare path. */
  readonly endpoint: string;
  /** StorageClass parameters for the volumes that the suite makes. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** The size to ask for; 1 MiB unless told. */
  readonly sizeBytes?: bigint;
}

const capability = (mode: Mode = Mode.SINGLE_NODE_WRITER) => ({
  accessType: { case: "mount" as const, value: {} },
  accessMode: { mode },
});

const failsWith =
  (...codes: ErrorCode[]) =>
  (error: unknown): boolean => {
    assert.ok(isTripodError(error, ...codes), `${String(error)} is not one of: ${codes.join(", ")}`);
    return true;
  };

/**
 * The conformance suite: registers tests with node:test that call a driver over its socket as the specification lets a Container Orchestrator do.
 * `start` is called once before them, `stop` after. Mounting needs the rights of root. Unlike csi-sanity it looks at what is in the volumes.
 */
export function testDriver(
  name: string,
  hooks: { readonly start: () => Promise<DriverUnderTest>; readonly stop?: () => Promise<void> },
): void {
  describe(`${name}: CSI conformance`, () => {
    let driver: DriverUnderTest;
    let client: CsiDriverClient;
    let dir: string;
    let controllerRpcs: Set<ControllerRpc>;
    let nodeRpcs: Set<NodeRpc>;
    let nodeId: string;
    const made = new Set<string>();
    before(async () => {
      driver = await hooks.start();
      client = connectDriver(driver.endpoint, { timeoutMs: 30_000 });
      dir = mkdtempSync(join(tmpdir(), "tripod-csi-"));
      const rpc = <T>(each: { type: { case: "rpc"; value: { type: T } } | { case: undefined } }): T[] =>
        each.type.case === "rpc" ? [each.type.value.type] : [];
      controllerRpcs = new Set(
        (await client.controller.controllerGetCapabilities({})).capabilities.flatMap((each) => rpc(each)),
      );
      nodeRpcs = new Set((await client.node.nodeGetCapabilities({})).capabilities.flatMap((each) => rpc(each)));
      ({ nodeId } = await client.node.nodeGetInfo({}));
    });
    after(async () => {
      for (const volumeId of made) await client.controller.deleteVolume({ volumeId });
      client[Symbol.dispose]();
      await hooks.stop?.();
      rmSync(dir, { recursive: true, force: true });
    });

    const newName = (): string => `conformance-${randomHex(8)}`;
    const createRequest = (volumeName: string) => ({
      name: volumeName,
      capacityRange: { requiredBytes: driver.sizeBytes ?? 1024n * 1024n },
      volumeCapabilities: [capability()],
      parameters: { ...driver.parameters },
    });
    const create = async (volumeName = newName()): Promise<Volume> => {
      const { volume } = await client.controller.createVolume(createRequest(volumeName));
      assert.ok(volume !== undefined, "CreateVolume answers with a volume");
      made.add(volume.volumeId);
      return volume;
    };
    const remove = async (volumeId: string): Promise<void> => {
      await client.controller.deleteVolume({ volumeId });
      made.delete(volumeId);
    };

    /** A volume published at `targetPath`, staged and attached before if the driver wants that; `undo` takes all of it back. */
    const publish = async (volume: Volume, options: { readonly?: boolean; mode?: Mode } = {}) => {
      const { volumeId, volumeContext } = volume;
      const volumeCapability = capability(options.mode);
      const readonly = options.readonly === true;
      const [stagingTargetPath, targetPath] = [join(dir, `staging-${randomHex(4)}`), join(dir, randomHex(4), "mount")];
      const attached = controllerRpcs.has(ControllerRpc.PUBLISH_UNPUBLISH_VOLUME);
      const staged = nodeRpcs.has(NodeRpc.STAGE_UNSTAGE_VOLUME);
      const publishContext = attached
        ? (
            await client.controller.controllerPublishVolume({
              volumeId,
              nodeId,
              volumeCapability,
              readonly: false,
              volumeContext,
            })
          ).publishContext
        : {};
      if (staged) {
        mkdirSync(stagingTargetPath);
        await client.node.nodeStageVolume({
          volumeId,
          stagingTargetPath,
          volumeCapability,
          publishContext,
          volumeContext,
        });
      }
      mkdirSync(join(targetPath, ".."));
      const request = {
        volumeId,
        targetPath,
        volumeCapability,
        readonly,
        publishContext,
        volumeContext,
        stagingTargetPath: staged ? stagingTargetPath : "",
      };
      await client.node.nodePublishVolume(request);
      const undo = async (): Promise<void> => {
        await client.node.nodeUnpublishVolume({ volumeId, targetPath });
        if (staged) await client.node.nodeUnstageVolume({ volumeId, stagingTargetPath });
        if (attached) await client.controller.controllerUnpublishVolume({ volumeId, nodeId });
      };
      return { targetPath, request, undo };
    };

    test("the driver tells who it is and is ready", async () => {
      const info = await client.identity.getPluginInfo({});
      assert.match(info.name, /^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$/);
      assert.notEqual(info.vendorVersion, "");
      assert.notEqual((await client.identity.probe({})).ready, false);
    });

    test("the node has an id, and a topology when the driver says that volumes have one", async () => {
      assert.ok(nodeId.length > 0 && Buffer.byteLength(nodeId) <= 256);
      const { capabilities } = await client.identity.getPluginCapabilities({});
      const services = capabilities.flatMap(({ type }) => (type.case === "service" ? [type.value.type] : []));
      const { accessibleTopology } = await client.node.nodeGetInfo({});
      if (services.includes(Service.VOLUME_ACCESSIBILITY_CONSTRAINTS))
        assert.ok(Object.keys(accessibleTopology?.segments ?? {}).length > 0);
      assert.ok(services.includes(Service.CONTROLLER_SERVICE));
    });

    test("creating a volume again by its name gives the same volume", async () => {
      const volumeName = newName();
      const [first, second] = [await create(volumeName), await create(volumeName)];
      assert.equal(first.volumeId, second.volumeId);
      assert.ok(first.capacityBytes === 0n || first.capacityBytes >= (driver.sizeBytes ?? 1024n * 1024n));
      assert.ok(Buffer.byteLength(first.volumeId) <= 128);
      await remove(first.volumeId);
    });

    test("creating a volume of the same name with another size is ALREADY_EXISTS", async () => {
      const volume = await create("conformance-size");
      const requiredBytes = (driver.sizeBytes ?? 1024n * 1024n) * 2n;
      const other = {
        ...createRequest("conformance-size"),
        capacityRange: { requiredBytes, limitBytes: requiredBytes },
      };
      await assert.rejects(client.controller.createVolume(other), failsWith("already-exists"));
      await remove(volume.volumeId);
    });

    test("creating the same volume many times at once makes one", async () => {
      const volumeName = newName();
      const answers = await Promise.allSettled(Array.from({ length: 10 }, () => create(volumeName)));
      const ids = new Set<string>();
      for (const answer of answers) {
        if (answer.status === "fulfilled") ids.add(answer.value.volumeId);
        else failsWith("aborted")(answer.reason);
      }
      assert.equal(ids.size, 1);
      for (const id of ids) await remove(id);
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
      test(`creating a volume with ${why} is refused`, async () => {
        await assert.rejects(
          client.controller.createVolume({ ...createRequest(newName()), ...change }),
          failsWith(...code),
        );
      });
    }

    test("deleting is OK for a volume that is gone or never was", async () => {
      const { volumeId } = await create();
      await remove(volumeId);
      await client.controller.deleteVolume({ volumeId });
      await client.controller.deleteVolume({ volumeId: "never-was" });
      await assert.rejects(client.controller.deleteVolume({ volumeId: "" }), failsWith("invalid"));
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
      test(`the hostile volume id ${JSON.stringify(volumeId.slice(0, 20))} reaches nothing`, async () => {
        const targetPath = join(dir, `hostile-${randomHex(4)}`);
        const publishing = client.node.nodePublishVolume({ volumeId, targetPath, volumeCapability: capability() });
        await assert.rejects(publishing, failsWith("not-found", "invalid"));
        assert.equal(existsSync(targetPath), false);
        await client.controller.deleteVolume({ volumeId }).catch(failsWith("invalid"));
        const validating = client.controller.validateVolumeCapabilities({
          volumeId,
          volumeCapabilities: [capability()],
        });
        await assert.rejects(validating, failsWith("not-found", "invalid"));
      });
    }

    test("capabilities that the volume was made with are confirmed, and a missing volume is NOT_FOUND", async () => {
      const { volumeId, volumeContext } = await create();
      const volumeCapabilities = [capability()];
      const { confirmed } = await client.controller.validateVolumeCapabilities({
        volumeId,
        volumeContext,
        volumeCapabilities,
      });
      assert.equal(confirmed?.volumeCapabilities.length, 1);
      await remove(volumeId);
      const again = client.controller.validateVolumeCapabilities({ volumeId, volumeCapabilities });
      await assert.rejects(again, failsWith("not-found"));
      await assert.rejects(client.controller.validateVolumeCapabilities({ volumeId }), failsWith("invalid"));
    });

    test("what is written stays, through unpublish and publish", async () => {
      const volume = await create();
      const first = await publish(volume);
      writeFileSync(join(first.targetPath, "file"), "lasting");
      await first.undo();
      assert.equal(existsSync(first.targetPath), false, "the target is removed");
      const second = await publish(volume);
      assert.equal(readFileSync(join(second.targetPath, "file"), "utf8"), "lasting");
      await second.undo();
      await remove(volume.volumeId);
    });

    test("a new volume is empty even after one of the same name was deleted", async () => {
      const volumeName = newName();
      const first = await create(volumeName);
      const published = await publish(first);
      writeFileSync(join(published.targetPath, "old"), "data");
      await published.undo();
      await remove(first.volumeId);
      const second = await create(volumeName);
      const again = await publish(second);
      assert.equal(existsSync(join(again.targetPath, "old")), false);
      await again.undo();
      await remove(second.volumeId);
    });

    test("publishing and unpublishing can be repeated; publishing otherwise is ALREADY_EXISTS", async () => {
      const volume = await create();
      const { request, targetPath, undo } = await publish(volume);
      writeFileSync(join(targetPath, "file"), "x");
      await client.node.nodePublishVolume(request);
      assert.ok(existsSync(join(targetPath, "file")));
      await assert.rejects(client.node.nodePublishVolume({ ...request, readonly: true }), failsWith("already-exists"));
      await undo();
      await client.node.nodeUnpublishVolume({ volumeId: volume.volumeId, targetPath });
      await remove(volume.volumeId);
    });

    test("a volume that is published read-only cannot be written", async () => {
      const volume = await create();
      const { targetPath, undo } = await publish(volume, { readonly: true });
      assert.throws(() => writeFileSync(join(targetPath, "file"), "x"), /EROFS/);
      await undo();
      await remove(volume.volumeId);
    });

    const badPublishes: { why: string; change: object }[] = [
      { why: "no volume id", change: { volumeId: "" } },
      { why: "no target path", change: { targetPath: "" } },
      { why: "no capability", change: { volumeCapability: undefined } },
      { why: "a relative target path", change: { targetPath: "target" } },
      { why: "a target path with ..", change: { targetPath: "/tmp/../etc/csi-conformance" } },
    ];
    for (const { why, change } of badPublishes) {
      test(`publishing with ${why} is refused`, async () => {
        const volume = await create();
        const request = { volumeId: volume.volumeId, targetPath: join(dir, "bad"), volumeCapability: capability() };
        await assert.rejects(client.node.nodePublishVolume({ ...request, ...change }), failsWith("invalid"));
        await remove(volume.volumeId);
      });
    }

    test("statistics of a published volume add up, and of another path are NOT_FOUND", async (context) => {
      if (!nodeRpcs.has(NodeRpc.GET_VOLUME_STATS)) {
        context.skip("the driver has no GET_VOLUME_STATS");
        return;
      }
      const volume = await create();
      const { targetPath, undo } = await publish(volume);
      const { usage } = await client.node.nodeGetVolumeStats({ volumeId: volume.volumeId, volumePath: targetPath });
      const bytes = usage.find(({ unit }) => unit === Unit.BYTES);
      assert.ok(bytes !== undefined && bytes.total > 0n && bytes.used <= bytes.total);
      const elsewhere = client.node.nodeGetVolumeStats({ volumeId: volume.volumeId, volumePath: dir });
      await assert.rejects(elsewhere, failsWith("not-found"));
      const unknown = client.node.nodeGetVolumeStats({ volumeId: "never-was", volumePath: targetPath });
      await assert.rejects(unknown, failsWith("not-found"));
      await undo();
      await remove(volume.volumeId);
    });

    test("a list in pages has every volume once, and a bad token is ABORTED", async (context) => {
      if (!controllerRpcs.has(ControllerRpc.LIST_VOLUMES)) {
        context.skip("the driver has no LIST_VOLUMES");
        return;
      }
      const own = await Promise.all([create(), create(), create()]);
      const seen: string[] = [];
      let startingToken = "";
      do {
        const page = await client.controller.listVolumes({ maxEntries: 1, startingToken });
        assert.ok(page.entries.length <= 1);
        for (const { volume } of page.entries) seen.push(volume?.volumeId ?? "");
        startingToken = page.nextToken;
      } while (startingToken !== "");
      assert.equal(new Set(seen).size, seen.length);
      for (const { volumeId } of own) assert.ok(seen.includes(volumeId));
      await assert.rejects(client.controller.listVolumes({ startingToken: "no token" }), failsWith("aborted"));
      await assert.rejects(client.controller.listVolumes({ maxEntries: -1 }), failsWith("invalid"));
      for (const { volumeId } of own) await remove(volumeId);
    });

    test("attaching can be repeated, and to an unknown node or of an unknown volume is NOT_FOUND", async (context) => {
      if (!controllerRpcs.has(ControllerRpc.PUBLISH_UNPUBLISH_VOLUME)) {
        context.skip("the driver has no PUBLISH_UNPUBLISH_VOLUME");
        return;
      }
      const { volumeId } = await create();
      const request = { volumeId, nodeId, volumeCapability: capability(), readonly: false };
      const first = await client.controller.controllerPublishVolume(request);
      assert.deepEqual((await client.controller.controllerPublishVolume(request)).publishContext, first.publishContext);
      await assert.rejects(
        client.controller.controllerPublishVolume({ ...request, nodeId: "no-such-node" }),
        failsWith("not-found"),
      );
      await assert.rejects(
        client.controller.controllerPublishVolume({ ...request, volumeId: "never-was" }),
        failsWith("not-found"),
      );
      for (let turn = 0; turn < 2; turn += 1) await client.controller.controllerUnpublishVolume({ volumeId, nodeId });
      await remove(volumeId);
    });
  });
}
