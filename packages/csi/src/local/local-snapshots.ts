import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { failpoint, TripodError } from "@tripod/base";
import type { ControllerMethods } from "../driver.ts";
import type { LocalContext } from "./local-context.ts";
import { type SnapshotRecord, snapshotIdOf, storedVolume } from "./local-records.ts";
import { pageOf } from "./pages.ts";
import type { StoredVolume } from "./volume-storage.ts";

/** A snapshot as it is told to callers. */
export const snapshotMessage = ({ topology }: LocalContext, snapshotId: string, record: SnapshotRecord) => ({
  snapshotId,
  sourceVolumeId: record.sourceVolumeId,
  sizeBytes: BigInt(record.sizeBytes),
  creationTime: timestampFromMs(record.createdAtMs),
  readyToUse: true,
  groupSnapshotId: record.groupId ?? "",
  accessibleTopology: [topology.here],
});

/** The record of a snapshot that has just been taken. */
export const snapshotRecord = (name: string, volume: StoredVolume, groupId?: string): SnapshotRecord => ({
  name,
  sourceVolumeId: volume.volumeId,
  sizeBytes: String(volume.capacityBytes),
  accessType: volume.accessType,
  fsType: volume.fsType,
  createdAtMs: Date.now(),
  ...(groupId === undefined ? {} : { groupId }),
  state: "ready",
});

/** Refuses parameters: a snapshot has none of its own. */
export function checkSnapshotParameters(what: string, parameters: Readonly<Record<string, string>>): void {
  const unknown = Object.keys(parameters).filter((key) => !key.startsWith("csi.storage.k8s.io/"));
  if (unknown.length > 0)
    throw new TripodError("invalid", `${what}: parameters ${unknown.join(", ")} are unknown; the class needs none`);
}

/** The snapshot calls of a local driver's controller. */
export function snapshotMethods(
  context: LocalContext,
): Pick<ControllerMethods, "createSnapshot" | "deleteSnapshot" | "listSnapshots" | "getSnapshot"> {
  const { records, storage } = context;
  return {
    async createSnapshot({ name, sourceVolumeId, parameters }) {
      const snapshotId = snapshotIdOf(name);
      checkSnapshotParameters(`create snapshot ${name}`, parameters);
      return records.locks.run(snapshotId, async () => {
        const existing = records.snapshots.get(snapshotId);
        if (existing?.state === "deleting")
          throw new TripodError("aborted", `create snapshot ${name}: it is being deleted; try again`);
        if (existing !== undefined && existing.sourceVolumeId !== sourceVolumeId)
          throw new TripodError(
            "already-exists",
            `create snapshot ${name}: it exists, of volume ${existing.sourceVolumeId}; use another name`,
          );
        if (existing !== undefined) return { snapshot: snapshotMessage(context, snapshotId, existing) };
        return records.locks.run(sourceVolumeId, async () => {
          const volume = storedVolume(sourceVolumeId, records.volume(sourceVolumeId));
          const record = snapshotRecord(name, volume);
          await storage.takeSnapshots([{ storageId: snapshotId, volume }]);
          failpoint("csi.local.snapshot.taken");
          records.snapshots.put(snapshotId, record);
          failpoint("csi.local.snapshot.recorded");
          return { snapshot: snapshotMessage(context, snapshotId, record) };
        });
      });
    },

    async deleteSnapshot({ snapshotId }) {
      await records.locks.run(snapshotId, async () => {
        const groupId = records.snapshots.get(snapshotId)?.groupId;
        if (groupId !== undefined && records.groups.get(groupId) !== undefined)
          throw new TripodError(
            "invalid",
            `delete snapshot ${snapshotId}: it belongs to group snapshot ${groupId}; delete that`,
          );
        await records.removeSnapshot(snapshotId, storage);
      });
      return {};
    },

    async listSnapshots({ snapshotId, sourceVolumeId, maxEntries, startingToken }) {
      const matching = records.snapshots
        .entries()
        .filter(
          ([id, record]) =>
            record.state === "ready" &&
            (snapshotId === "" || id === snapshotId) &&
            (sourceVolumeId === "" || record.sourceVolumeId === sourceVolumeId),
        );
      const { entries, nextToken } = pageOf(matching, { maxEntries, startingToken });
      return {
        entries: entries.map(([id, record]) => ({ snapshot: snapshotMessage(context, id, record) })),
        nextToken,
      };
    },

    async getSnapshot({ snapshotId }) {
      return { snapshot: snapshotMessage(context, snapshotId, records.snapshot(snapshotId)) };
    },
  };
}
