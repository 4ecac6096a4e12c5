import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type NodeGetStorageHealthResponse_StorageBackendHealthSchema,
  StorageHealthErrorType,
  type VolumeHealth_VolumeHealthEntrySchema,
  VolumeHealthErrorType,
} from "@tripod/api/csi";
import { isTripodError, messageOf } from "@tripod/base";
import type { Statistics } from "./jobs/job.ts";
import { checkServer } from "./shares/check-server.ts";
import type { Shares } from "./shares/shares.ts";

export type VolumeProblem = MessageInitShape<typeof VolumeHealth_VolumeHealthEntrySchema>;
type StorageProblem = MessageInitShape<typeof NodeGetStorageHealthResponse_StorageBackendHealthSchema>;

/** Below one part in so many of the share, volumes are about to fail. */
const scarce = 50n;

export function problemsOf({ availableBytes, totalBytes }: Statistics): VolumeProblem[] {
  if (BigInt(availableBytes) * scarce >= BigInt(totalBytes)) return [];
  const message = `the share has ${availableBytes} of ${totalBytes} bytes left; free some`;
  return [{ status: VolumeHealthErrorType.DEGRADED, reason: "ShareNearlyFull", message }];
}

export const folderGone = (subDir: string): VolumeProblem[] => [
  {
    status: VolumeHealthErrorType.DATA_LOSS,
    reason: "DataGone",
    message: `folder ${subDir} of the share is gone; restore it from a snapshot or a backup`,
  },
];

/** What keeps a volume from being used: its server, or on a node without an NFS client in the kernel the process that is one. */
export function unreachable(error: unknown): VolumeProblem[] {
  const dead = isTripodError(error) && error.detail.errno === "ENOTCONN";
  const message = dead ? `${messageOf(error)}: its NFS client was killed; start its Pods again` : messageOf(error);
  return [{ status: VolumeHealthErrorType.INACCESSIBLE, reason: dead ? "ClientGone" : "Unreachable", message }];
}

/** The servers, of the shares that are mounted on this node, at which nobody listens. */
export async function storageProblems(shares: Shares): Promise<StorageProblem[]> {
  const servers = new Set(shares.mounted().map(({ source }) => source.slice(0, source.lastIndexOf(":/"))));
  const problems = [...servers].map(async (server): Promise<StorageProblem[]> => {
    try {
      await checkServer(server, []);
      return [];
    } catch (error) {
      const status = StorageHealthErrorType.STORAGE_UNREACHABLE;
      return [{ status, reason: "Unreachable", message: messageOf(error) }];
    }
  });
  return (await Promise.all(problems)).flat();
}
