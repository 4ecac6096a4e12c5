import { statfs } from "node:fs/promises";
import { normalize } from "node:path";
import { VolumeUsage_Unit as Unit } from "@tripod/api/csi";
import { failpoint, TripodError } from "@tripod/base";
import type { NodeMethods } from "../driver.ts";
import { growVolume } from "./grow-volume.ts";
import type { LocalContext } from "./local-context.ts";
import { storedVolume } from "./local-records.ts";
import { ensureStaticVolume } from "./new-volume.ts";
import { publish, unpublish } from "./publication.ts";
import type { StoredVolume } from "./volume-storage.ts";

/** The node calls of a local driver: volumes are published by bind mounts. */
export function localNode(context: LocalContext, maxVolumesPerNode = 0): NodeMethods {
  const { records, storage, topology } = context;
  return {
    async nodeGetInfo() {
      return {
        nodeId: topology.nodeId,
        accessibleTopology: topology.here,
        maxVolumesPerNode: BigInt(maxVolumesPerNode),
      };
    },

    nodePublishVolume: (request) =>
      records.locks.run(request.volumeId, async () => {
        await publish(context, request);
        return {};
      }),

    nodeUnpublishVolume: ({ volumeId, targetPath }) =>
      records.locks.run(volumeId, async () => {
        await unpublish(context, volumeId, pathOf(targetPath));
        return {};
      }),

    async nodeGetVolumeStats({ volumeId, volumePath }) {
      const volume = shownAt(context, volumeId, volumePath);
      if (volume.accessType === "block") return { usage: [{ unit: Unit.BYTES, total: volume.capacityBytes }] };
      const { bsize, blocks, bavail, bfree, files, ffree } = await statfs(pathOf(volumePath), { bigint: true });
      return {
        usage: [
          { unit: Unit.BYTES, total: bsize * blocks, available: bsize * bavail, used: bsize * (blocks - bfree) },
          { unit: Unit.INODES, total: files, available: ffree, used: files - ffree },
        ],
      };
    },

    async nodeGetVolumeHealth({ volumeId }) {
      const volume = storedVolume(volumeId, records.volume(volumeId));
      return { volumeHealth: { volumeId, healthStatuses: await storage.problems(volume) } };
    },

    nodeGetStorageHealth: async () => ({ backendHealth: await storage.storageProblems() }),

    ...(storage.stage === undefined ? {} : stageMethods(context)),

    ...(storage.expandInUse === undefined
      ? {}
      : {
          nodeExpandVolume: ({ volumeId, volumePath, capacityRange }) =>
            records.locks.run(volumeId, async () => {
              shownAt(context, volumeId, volumePath);
              // All of a volume is on this node: a kubelet may know better than whoever grew it before.
              const grown = await growVolume(context, volumeId, capacityRange?.requiredBytes ?? 0n);
              const volume = storedVolume(volumeId, grown);
              return {
                capacityBytes: (await storage.expandInUse?.(volume, pathOf(volumePath))) ?? volume.capacityBytes,
              };
            }),
        }),
  };
}

const pathOf = (path: string): string => normalize(path).replace(/(.)\/$/, "$1");

/** The volume, which is shown at that path; "not-found" otherwise. */
function shownAt({ records, storage }: LocalContext, volumeId: string, volumePath: string): StoredVolume {
  const volume = storedVolume(volumeId, records.volume(volumeId));
  if (!storage.isShownAt(volume, pathOf(volumePath)))
    throw new TripodError("not-found", `volume ${volumeId} at ${volumePath}: it is neither staged nor published there`);
  return volume;
}

function stageMethods(context: LocalContext): Pick<NodeMethods, "nodeStageVolume" | "nodeUnstageVolume"> {
  const { records, storage, attach } = context;
  return {
    nodeStageVolume: ({ volumeId, stagingTargetPath, volumeCapability: capability, volumeContext }) =>
      records.locks.run(volumeId, async () => {
        const what = `stage volume ${volumeId} at ${stagingTargetPath}`;
        await ensureStaticVolume(context, volumeId, { volumeContext, capability });
        const volume = storedVolume(volumeId, records.volume(volumeId));
        const why = capability === undefined ? "there is no capability" : storage.unsupported(capability);
        if (capability === undefined || why !== undefined) throw new TripodError("invalid", `${what}: ${why}`);
        if (capability.accessType.case !== volume.accessType)
          throw new TripodError("invalid", `${what}: the volume was made for access by ${volume.accessType}`);
        const { fsType = "" } = capability.accessType.case === "mount" ? capability.accessType.value : {};
        if (fsType !== "" && volume.fsType !== "" && fsType !== volume.fsType)
          throw new TripodError(
            storage.isShownAt(volume, pathOf(stagingTargetPath)) ? "already-exists" : "invalid",
            `${what}: it holds an ${volume.fsType} file system, not ${fsType}; ask for the same, or for none`,
          );
        if (attach && records.attachments.get(volumeId) === undefined)
          throw new TripodError(
            "failed-precondition",
            `${what}: it is not attached; call ControllerPublishVolume first`,
          );
        await storage.stage?.(volume, pathOf(stagingTargetPath), capability);
        failpoint("csi.local.staged");
        return {};
      }),

    nodeUnstageVolume: ({ volumeId, stagingTargetPath }) =>
      records.locks.run(volumeId, async () => {
        const record = records.volumes.get(volumeId);
        if (record === undefined) return {};
        const used = records
          .publicationsOf(volumeId)
          .find(([path]) => storage.isShownAt(storedVolume(volumeId, record), path));
        if (used !== undefined)
          throw new TripodError(
            "failed-precondition",
            `unstage volume ${volumeId}: it is published at ${used[0]}; unpublish it first`,
          );
        await storage.unstage?.(storedVolume(volumeId, record), pathOf(stagingTargetPath));
        failpoint("csi.local.unstaged");
        return {};
      }),
  };
}
