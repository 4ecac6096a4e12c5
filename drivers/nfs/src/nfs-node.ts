import { join, normalize } from "node:path";
import {
  type NodePublishVolumeRequest,
  VolumeCapability_AccessMode_Mode as Mode,
  VolumeUsage_Unit as Unit,
} from "@tripod/api/csi";
import { TripodError } from "@tripod/base";
import type { NodeMethods } from "@tripod/csi";
import { type MountInfo, realMountPoint } from "@tripod/linux";
import { attributesOf, shareOptionsOf, unsupported } from "./access.ts";
import { readMode } from "./class-parameters.ts";
import { problemsOf, storageProblems, unreachable } from "./health.ts";
import type { Publications } from "./shares/publications.ts";
import { answerWithinMs, type Shares } from "./shares/shares.ts";
import { parseVolumeId, type Share, shareProblem, subDirProblem } from "./volume-id.ts";

interface Place extends Share {
  readonly subDir: string;
}

/** What is mounted is asked of the kernel alone, so that nothing is lost with this process, and nothing waits for a server but jobs. */
export function nfsNode(shares: Shares, published: Publications, nodeId: string): NodeMethods {
  const publishedAt = (targetPath: string): MountInfo | undefined =>
    shares.publications().findLast(({ mountPoint }) => mountPoint === targetPath);
  const checkPublished = (volumeId: string, path: string): void => {
    if (publishedAt(path) === undefined || published.volumeAt(path) !== volumeId)
      throw new TripodError("not-found", `volume ${volumeId} at ${path}: it is not published there`);
  };
  return {
    nodeGetInfo: async () => ({ nodeId }),

    async nodePublishVolume(request) {
      const { volumeId, volumeCapability, volumeContext } = request;
      const targetPath = pathOf(request.targetPath);
      const what = `publish volume ${volumeId} at ${targetPath}`;
      const why = unsupported(volumeCapability === undefined ? [] : [volumeCapability]);
      if (why !== undefined) throw new TripodError("invalid", `${what}: ${why}`);
      const place = placeOf(request, what);
      const mode = volumeCapability?.accessMode?.mode ?? Mode.UNKNOWN;
      const readonly =
        request.readonly || mode === Mode.SINGLE_NODE_READER_ONLY || mode === Mode.MULTI_NODE_READER_ONLY;
      const attributes = attributesOf(volumeCapability, readonly);
      const existing = publishedAt(targetPath);
      if (existing !== undefined) {
        if (!isSame(existing, place, readonly))
          throw new TripodError(
            "already-exists",
            `${what}: ${trimmed(join(existing.source, existing.root))} (${existing.options.join()}) is published there; unpublish it first`,
          );
        return {};
      }
      if (mode === Mode.SINGLE_NODE_SINGLE_WRITER) checkSingleWriter(shares, place, what);
      const chosen = readMode(volumeContext.mountPermissions ?? "");
      published.put(targetPath, volumeId);
      await shares.use(place, shareOptionsOf(volumeCapability), (dir) =>
        shares.jobs.run(
          {
            kind: "publish",
            dir,
            subDir: place.subDir,
            target: targetPath,
            attributes,
            ...(chosen !== undefined && chosen !== 0 && !readonly && { mode: chosen }),
          },
          { withinMs: answerWithinMs },
        ),
      );
      return {};
    },

    async nodeUnpublishVolume({ targetPath }) {
      await shares.jobs.run({ kind: "unpublish", target: pathOf(targetPath) }, { withinMs: answerWithinMs });
      published.remove(pathOf(targetPath));
      shares.sweep();
      return {};
    },

    async nodeGetVolumeStats({ volumeId, volumePath }) {
      const path = pathOf(volumePath);
      checkPublished(volumeId, path);
      const found = await shares.jobs.run({ kind: "statistics", path }, { withinMs: answerWithinMs });
      const [total, available, free] = [
        BigInt(found.totalBytes),
        BigInt(found.availableBytes),
        BigInt(found.freeBytes),
      ];
      const [files, freeFiles] = [BigInt(found.files), BigInt(found.freeFiles)];
      return {
        usage: [
          { unit: Unit.BYTES, total, available, used: total - free },
          { unit: Unit.INODES, total: files, available: freeFiles, used: files - freeFiles },
        ],
      };
    },

    async nodeGetVolumeHealth({ volumeId, volumePublishPath }) {
      const anywhere = shares.publications().find(({ mountPoint }) => published.volumeAt(mountPoint) === volumeId);
      const path = volumePublishPath === "" ? (anywhere?.mountPoint ?? "") : pathOf(volumePublishPath);
      checkPublished(volumeId, path);
      try {
        const found = await shares.jobs.run({ kind: "statistics", path }, { withinMs: answerWithinMs });
        return { volumeHealth: { volumeId, healthStatuses: problemsOf(found) } };
      } catch (error) {
        return { volumeHealth: { volumeId, healthStatuses: unreachable(error) } };
      }
    },

    nodeGetStorageHealth: async () => ({ backendHealth: await storageProblems(shares) }),
  };
}

const trimmed = (path: string): string => normalize(path).replace(/(.)\/$/, "$1");
/** A target as the kernel writes it, whichever links lead to the kubelet's folder. */
const pathOf = (path: string): string => realMountPoint(trimmed(path));

/** Where a volume is: what its attributes say, as of one that an administrator has made, else what its id says. */
function placeOf({ volumeId, volumeContext }: NodePublishVolumeRequest, what: string): Place {
  const attributes = new Map(Object.entries(volumeContext).map(([key, value]) => [key.toLowerCase(), value]));
  const [server, share] = [attributes.get("server"), attributes.get("share")];
  const known = parseVolumeId(volumeId);
  if (server === undefined || share === undefined) {
    if (known !== undefined) return known;
    throw new TripodError("not-found", `${what}: there is no such volume; its attributes must name server and share`);
  }
  const path = `/${share.replace(/^\/+|\/+$/g, "")}`;
  // The class's template is in the attributes; what it was filled with is in the id.
  const subDir = known?.subDir ?? (attributes.get("subdir") ?? "").replace(/^\/+|\/+$/g, "");
  const problem = shareProblem(server, path) ?? (subDir === "" ? undefined : subDirProblem(subDir));
  if (problem !== undefined) throw new TripodError("invalid", `${what}: ${problem}`);
  return { server, path, subDir: subDir === "" ? "." : subDir };
}

/** Which folder of which server it is: the kernel tells it as the source of an NFS mount, and of one that a process serves in two parts. */
const shows = ({ root, source }: MountInfo, { server, path, subDir }: Place): boolean =>
  source.slice(0, server.length + 1) === `${server}:` &&
  trimmed(join(source.slice(server.length + 1), root)) === join(path, subDir);

const isSame = (mounted: MountInfo, place: Place, readonly: boolean): boolean =>
  shows(mounted, place) && mounted.options.includes("ro") === readonly;

function checkSingleWriter(shares: Shares, place: Place, what: string): void {
  const other = shares.publications().find((each) => shows(each, place));
  if (other !== undefined)
    throw new TripodError(
      "failed-precondition",
      `${what}: it may have one writer and is published at ${other.mountPoint}; unpublish it there first`,
    );
}
