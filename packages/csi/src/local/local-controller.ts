import { TripodError } from "@tripod/base";
import { isMountPoint } from "@tripod/linux";
import type { ControllerMethods } from "../driver.ts";
import { growVolume } from "./grow-volume.ts";
import { attachMethods } from "./local-attachments.ts";
import type { LocalContext } from "./local-context.ts";
import { storedVolume, type VolumeRecord } from "./local-records.ts";
import { snapshotMethods } from "./local-snapshots.ts";
import { firstUnsupported, newVolume, refusedMutable } from "./new-volume.ts";
import { pageOf } from "./pages.ts";

/** The controller calls of a local driver. */
export function localController(context: LocalContext): ControllerMethods {
  const { records, storage, topology } = context;
  const volumeOf = (volumeId: string, { capacityBytes, source }: VolumeRecord) => ({
    volumeId,
    capacityBytes: BigInt(capacityBytes),
    accessibleTopology: [topology.here],
    ...(source === undefined ? {} : { contentSource: contentSource(source) }),
  });
  const publishedOn = (volumeId: string): string[] => {
    const attached = records.attachments.get(volumeId) !== undefined;
    return attached || records.publicationsOf(volumeId).length > 0 ? [topology.nodeId] : [];
  };
  const ready = () => records.volumes.entries().filter(([, { state }]) => state === "ready");
  return {
    async createVolume(request) {
      const [volumeId, record] = await newVolume(context, request);
      return { volume: volumeOf(volumeId, record) };
    },

    async deleteVolume({ volumeId }) {
      await records.locks.run(volumeId, async () => {
        checkUnused(context, volumeId);
        await records.removeVolume(volumeId, storage);
      });
      return {};
    },

    async validateVolumeCapabilities({ volumeId, volumeCapabilities, volumeContext, parameters, mutableParameters }) {
      const { accessType = "mount" } = records.volume(volumeId);
      const other = volumeCapabilities.find(({ accessType: asked }) => asked.case !== accessType);
      const message =
        firstUnsupported(storage, volumeCapabilities) ??
        (other === undefined ? undefined : `the volume was made for access by ${accessType}`);
      return message === undefined
        ? { confirmed: { volumeCapabilities, volumeContext, parameters, mutableParameters } }
        : { message };
    },

    async listVolumes(request) {
      const { entries, nextToken } = pageOf(ready(), request);
      return {
        entries: entries.map(([id, record]) => ({
          volume: volumeOf(id, record),
          status: { publishedNodeIds: publishedOn(id) },
        })),
        nextToken,
      };
    },

    async controllerGetVolume({ volumeId }) {
      const volume = volumeOf(volumeId, records.volume(volumeId));
      return { volume, status: { publishedNodeIds: publishedOn(volumeId) } };
    },

    async getCapacity({ accessibleTopology, volumeCapabilities }) {
      const elsewhere =
        accessibleTopology !== undefined && accessibleTopology.segments[topology.key] !== topology.nodeId;
      if (elsewhere || firstUnsupported(storage, volumeCapabilities) !== undefined) return { availableCapacity: 0n };
      const { availableBytes } = await storage.space();
      const [asked] = volumeCapabilities.map(({ accessType }) => accessType);
      const least = storage.leastBytes({
        accessType: asked?.case === "block" ? "block" : "mount",
        fsType: asked?.case === "block" ? "" : storage.fsTypeOf(asked?.case === "mount" ? asked.value.fsType : ""),
      });
      return { availableCapacity: availableBytes, maximumVolumeSize: availableBytes, minimumVolumeSize: least };
    },

    async controllerExpandVolume({ volumeId, capacityRange }) {
      const { requiredBytes = 0n, limitBytes = 0n } = capacityRange ?? {};
      return records.locks.run(volumeId, async () => {
        const record = records.volume(volumeId);
        const size = BigInt(record.capacityBytes);
        if (limitBytes !== 0n && size > limitBytes)
          throw new TripodError(
            "out-of-range",
            `expand volume ${volumeId} from ${size} to ${requiredBytes} bytes: it is larger than the limit, and volumes do not shrink`,
          );
        const nodeExpansionRequired = storage.expandInUse !== undefined;
        const grown = await growVolume(context, volumeId, requiredBytes);
        return { capacityBytes: BigInt(grown.capacityBytes), nodeExpansionRequired };
      });
    },

    async controllerGetVolumeHealth({ volumeId }) {
      const volume = storedVolume(volumeId, records.volume(volumeId));
      return { volumeHealth: { volumeId, healthStatuses: await storage.problems(volume) } };
    },

    async controllerListVolumeHealth(request) {
      const { entries, nextToken } = pageOf(ready(), request);
      const health = entries.map(async ([volumeId, record]) => ({
        volumeId,
        healthStatuses: await storage.problems(storedVolume(volumeId, record)),
      }));
      return { entries: await Promise.all(health), nextToken };
    },

    ...snapshotMethods(context),
    ...(storage.modify === undefined
      ? {}
      : { controllerModifyVolume: modifyMethod(context, storage.modify.bind(storage)) }),
    ...(context.attach ? attachMethods(context) : {}),
  };
}

const contentSource = ({ kind, id }: NonNullable<VolumeRecord["source"]>) => ({
  type:
    kind === "snapshot"
      ? { case: "snapshot" as const, value: { snapshotId: id } }
      : { case: "volume" as const, value: { volumeId: id } },
});

const modifyMethod =
  (
    { records, storage }: LocalContext,
    modify: NonNullable<LocalContext["storage"]["modify"]>,
  ): NonNullable<ControllerMethods["controllerModifyVolume"]> =>
  ({ volumeId, mutableParameters }) =>
    records.locks.run(volumeId, async () => {
      const record = records.volume(volumeId);
      const why = refusedMutable(storage, mutableParameters);
      if (why !== undefined) throw new TripodError("invalid", `modify volume ${volumeId}: ${why}`);
      const changed: VolumeRecord = {
        ...record,
        mutableParameters: { ...record.mutableParameters, ...mutableParameters },
      };
      records.volumes.put(volumeId, changed);
      await modify(storedVolume(volumeId, changed));
      return {};
    });

/** Refuses to delete what somebody still uses. */
function checkUnused({ records, topology }: LocalContext, volumeId: string): void {
  const used = records.publicationsOf(volumeId).find(([targetPath]) => isMountPoint(targetPath));
  if (used !== undefined)
    throw new TripodError(
      "failed-precondition",
      `delete volume ${volumeId}: it is published at ${used[0]}; unpublish it first`,
    );
  if (records.attachments.get(volumeId) !== undefined)
    throw new TripodError(
      "failed-precondition",
      `delete volume ${volumeId}: it is attached to ${topology.nodeId}; detach it first`,
    );
}
