import assert from "node:assert/strict";
import { test } from "node:test";
import { BlockMetadataType, PluginCapability_Service_Type as Service } from "@tripod/api/csi";
import { isTripodError, TripodError } from "@tripod/base";
import { TemporaryFolder } from "@tripod/linux/testing";
import { connectDriver } from "./connect-driver.ts";
import { defineDriver } from "./driver.ts";
import { serveDriver } from "./serve-driver.ts";

const mebibyte = 1024 * 1024;
const driver = defineDriver({
  name: "groups.example.com",
  version: "1",
  groupController: {
    createVolumeGroupSnapshot: async ({ name, sourceVolumeIds }) => ({
      groupSnapshot: {
        groupSnapshotId: `g-${name}`,
        snapshots: sourceVolumeIds.map((id) => ({ snapshotId: `s-${id}`, sourceVolumeId: id, readyToUse: true })),
        readyToUse: true,
      },
    }),
    deleteVolumeGroupSnapshot: async () => ({}),
    getVolumeGroupSnapshot: async ({ groupSnapshotId }) => {
      throw new TripodError("not-found", `group snapshot ${groupSnapshotId}: does not exist`);
    },
  },
  snapshotMetadata: {
    async *getMetadataAllocated({ startingOffset }) {
      for (let offset = Number(startingOffset); offset < 4 * mebibyte; offset += mebibyte)
        yield {
          blockMetadataType: BlockMetadataType.FIXED_LENGTH,
          volumeCapacityBytes: BigInt(4 * mebibyte),
          blockMetadata: [{ byteOffset: BigInt(offset), sizeBytes: BigInt(mebibyte) }],
        };
    },
  },
});

test("group snapshots and snapshot metadata are services of their own, with their capability", async () => {
  using folder = new TemporaryFolder("csi");
  await using served = await serveDriver({ endpoint: folder.join("csi.sock"), driver });
  using client = connectDriver(served.socket);
  const { capabilities } = await client.identity.getPluginCapabilities({});
  assert.deepEqual(
    capabilities.map(({ type }) => type.value?.type),
    [Service.GROUP_CONTROLLER_SERVICE, Service.SNAPSHOT_METADATA_SERVICE],
  );
  const group = client.groupController;
  assert.equal((await group.groupControllerGetCapabilities({})).capabilities.length, 1);
  const made = await group.createVolumeGroupSnapshot({ name: "n", sourceVolumeIds: ["a", "b"] });
  assert.deepEqual(
    made.groupSnapshot?.snapshots.map(({ snapshotId }) => snapshotId),
    ["s-a", "s-b"],
  );
  const gone = group.getVolumeGroupSnapshot({ groupSnapshotId: "g", snapshotIds: ["s"] });
  await assert.rejects(gone, (error) => isTripodError(error, "not-found"));
});

test("a stream of block ranges arrives whole, and ends when its reader has enough", async () => {
  using folder = new TemporaryFolder("csi");
  await using served = await serveDriver({ endpoint: folder.join("csi.sock"), driver });
  using client = connectDriver(served.socket);
  const offsets: bigint[] = [];
  const request = { snapshotId: "s", startingOffset: BigInt(mebibyte) };
  for await (const { blockMetadata } of client.snapshotMetadata.getMetadataAllocated(request))
    offsets.push(...blockMetadata.map(({ byteOffset }) => byteOffset));
  assert.deepEqual(
    offsets,
    [1n, 2n, 3n].map((each) => each * BigInt(mebibyte)),
  );
  for await (const _ of client.snapshotMetadata.getMetadataAllocated({ snapshotId: "s" })) break;
  const delta = client.snapshotMetadata.getMetadataDelta({ baseSnapshotId: "a", targetSnapshotId: "b" });
  await assert.rejects(delta[Symbol.asyncIterator]().next(), (error) => isTripodError(error, "unimplemented"));
});

const bad: { why: string; call: (client: ReturnType<typeof connectDriver>) => Promise<unknown> }[] = [
  {
    why: "a group without volumes",
    call: ({ groupController: group }) => group.createVolumeGroupSnapshot({ name: "n" }),
  },
  {
    why: "a group with an empty volume id",
    call: ({ groupController: group }) => group.createVolumeGroupSnapshot({ name: "n", sourceVolumeIds: ["a", ""] }),
  },
  {
    why: "a deletion that names no group",
    call: ({ groupController: group }) => group.deleteVolumeGroupSnapshot({ snapshotIds: ["s"] }),
  },
  {
    why: "metadata of no snapshot",
    call: ({ snapshotMetadata: metadata }) => metadata.getMetadataAllocated({})[Symbol.asyncIterator]().next(),
  },
];
for (const { why, call } of bad)
  test(`${why} is refused before the driver sees it`, async () => {
    using folder = new TemporaryFolder("csi");
    await using served = await serveDriver({ endpoint: folder.join("csi.sock"), driver });
    using client = connectDriver(served.socket);
    await assert.rejects(call(client), (error) => isTripodError(error, "invalid"));
  });
