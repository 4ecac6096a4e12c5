import { createHash } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { failpoint, TripodError } from "@tripod/base";
import type { GroupControllerMethods } from "../driver.ts";
import type { LocalContext } from "./local-context.ts";
import { groupIdOf, type GroupRecord, snapshotIdOf, storedVolume } from "./local-records.ts";
import { checkSnapshotParameters, snapshotMessage, snapshotRecord } from "./local-snapshots.ts";

const sameMembers = (one: readonly string[], other: readonly string[]): boolean =>
  one.toSorted().join("\0") === other.toSorted().join("\0");

/** Snapshots of several volumes at one moment. */
export function localGroups(context: LocalContext): GroupControllerMethods {
  const { records, storage } = context;
  const message = (groupSnapshotId: string, { snapshotIds, createdAtMs }: GroupRecord) => ({
    groupSnapshotId,
    snapshots: snapshotIds.map((id) => snapshotMessage(context, id, records.snapshot(id))),
    creationTime: timestampFromMs(createdAtMs),
    readyToUse: true,
  });
  return {
    async createVolumeGroupSnapshot({ name, sourceVolumeIds, parameters }) {
      const groupId = groupIdOf(name);
      checkSnapshotParameters(`create group snapshot ${name}`, parameters);
      return records.locks.run(groupId, async () => {
        const existing = records.groups.get(groupId);
        if (existing !== undefined && !sameMembers(existing.sourceVolumeIds, sourceVolumeIds))
          throw new TripodError(
            "already-exists",
            `create group snapshot ${name}: it exists, of other volumes; use another name`,
          );
        if (existing !== undefined) return { groupSnapshot: message(groupId, existing) };
        await finishDeletion(context, groupId);
        const sorted = [...new Set(sourceVolumeIds)].toSorted();
        return lockAll(context, sorted, async () => {
          const volumes = sorted.map((id) => storedVolume(id, records.volume(id)));
          const plans = volumes.map((volume) => ({ storageId: memberId(name, volume.volumeId), volume }));
          await storage.takeSnapshots(plans);
          failpoint("csi.local.group.taken");
          const record: GroupRecord = {
            name,
            snapshotIds: plans.map(({ storageId }) => storageId),
            sourceVolumeIds: sorted,
            createdAtMs: Date.now(),
          };
          records.transaction(() => {
            for (const { storageId, volume } of plans)
              records.snapshots.put(storageId, snapshotRecord(`${name}/${volume.volumeId}`, volume, groupId));
            records.groups.put(groupId, record);
          });
          return { groupSnapshot: message(groupId, record) };
        });
      });
    },

    async deleteVolumeGroupSnapshot({ groupSnapshotId, snapshotIds }) {
      await records.locks.run(groupSnapshotId, async () => {
        const group = records.groups.get(groupSnapshotId);
        if (group !== undefined) {
          checkMembers("delete", groupSnapshotId, group, snapshotIds);
          // From here on there is no such group; its members are taken away one by one.
          records.transaction(() => {
            for (const id of group.snapshotIds)
              records.snapshots.put(id, { ...records.snapshot(id), state: "deleting" });
            records.groups.delete(groupSnapshotId);
          });
        }
        await finishDeletion(context, groupSnapshotId);
      });
      return {};
    },

    async getVolumeGroupSnapshot({ groupSnapshotId, snapshotIds }) {
      const group = records.groups.get(groupSnapshotId);
      if (group === undefined)
        throw new TripodError("not-found", `group snapshot ${JSON.stringify(groupSnapshotId)}: does not exist`);
      checkMembers("get", groupSnapshotId, group, snapshotIds);
      return { groupSnapshot: message(groupSnapshotId, group) };
    },
  };
}

/** Takes away what is left of a group that was deleted. */
async function finishDeletion({ records, storage }: LocalContext, groupId: string): Promise<void> {
  for (const [id, record] of records.snapshots.entries()) {
    if (record.groupId !== groupId || record.state !== "deleting") continue;
    await records.removeSnapshot(id, storage);
    failpoint("csi.local.group.snapshot-deleted");
  }
}

/** The id of a volume's snapshot in a group; the same for every try. */
const memberId = (groupName: string, volumeId: string): string =>
  snapshotIdOf(`group\0${createHash("sha256").update(groupName).digest("hex")}\0${volumeId}`);

function checkMembers(what: string, groupId: string, group: GroupRecord, snapshotIds: readonly string[]): void {
  if (!sameMembers(group.snapshotIds, snapshotIds))
    throw new TripodError(
      "invalid",
      `${what} group snapshot ${groupId}: its snapshots are ${group.snapshotIds.join(", ")}, not those named`,
    );
}

/** Holds the locks of several volumes, taken in order. */
const lockAll = <T>(context: LocalContext, sortedIds: readonly string[], work: () => Promise<T>): Promise<T> => {
  const [first, ...rest] = sortedIds;
  return first === undefined ? work() : context.records.locks.run(first, () => lockAll(context, rest, work));
};
