import type { CreateVolumeRequest, VolumeContentSource } from "@tripod/api/csi";
import { TripodError } from "@tripod/base";
import type { JobSource } from "./jobs/job.ts";
import type { Jobs } from "./jobs/jobs.ts";
import type { VolumeRecord } from "./jobs/share-records.ts";
import { answerWithinMs } from "./shares/shares.ts";
import { parseSnapshotId, parseVolumeId, type Share } from "./volume-id.ts";

/** What a new volume is to be a copy of. */
export interface VolumeSource {
  readonly kind: "volume" | "snapshot";
  readonly id: string;
  readonly job: JobSource;
  /** A volume's own key. */
  readonly name: string;
}

/** The source by its id; it must be in the share of the new volume. */
export function sourceOf(
  source: VolumeContentSource | undefined,
  { server, path }: Share,
  what: string,
): VolumeSource | undefined {
  const type = source?.type;
  if (type?.case === undefined) return undefined;
  const id = type.case === "snapshot" ? type.value.snapshotId : type.value.volumeId;
  const found = type.case === "snapshot" ? parseSnapshotId(id) : parseVolumeId(id);
  if (found === undefined) throw new TripodError("not-found", `${what}: there is no ${type.case} ${id}`);
  if (found.server !== server || found.path !== path)
    throw new TripodError(
      "invalid",
      `${what}: its source is in ${found.server}:${found.path}, not in ${server}:${path}; take a class of that share`,
    );
  const { name } = found;
  if ("subDir" in found) return { kind: "volume", id, name, job: { kind: "volume", subDir: String(found.subDir) } };
  return { kind: "snapshot", id, name, job: { kind: "snapshot", name } };
}

interface MountedShare {
  readonly jobs: Jobs;
  readonly dir: string;
}

/** The record of a volume that is to be made, of a size that the share has room for. */
export async function newVolumeRecord(
  { jobs, dir }: MountedShare,
  { name, capacityRange }: CreateVolumeRequest,
  source: VolumeSource | undefined,
): Promise<VolumeRecord> {
  const { requiredBytes = 0n, limitBytes = 0n } = capacityRange ?? {};
  const least = source === undefined ? 0n : await sizeOfSource({ jobs, dir }, name, source);
  const size = requiredBytes > least ? requiredBytes : least;
  if (limitBytes !== 0n && size > limitBytes)
    throw new TripodError("out-of-range", `create volume ${name}: its source has ${least} bytes, more than the limit`);
  const { availableBytes } = await jobs.run({ kind: "statistics", path: dir }, { withinMs: answerWithinMs });
  if (size > BigInt(availableBytes))
    throw new TripodError(
      "out-of-range",
      `create volume ${name} of ${size} bytes: the share has ${availableBytes} bytes left; ask for less`,
    );
  return {
    name,
    capacityBytes: String(size),
    ...(source !== undefined && { source: { kind: source.kind, id: source.id } }),
    state: "ready",
  };
}

async function sizeOfSource(
  { jobs, dir }: MountedShare,
  volume: string,
  { job, name, id }: VolumeSource,
): Promise<bigint> {
  const withinMs = answerWithinMs;
  const missing = new TripodError("not-found", `create volume ${volume}: there is no ${job.kind} ${id}`);
  if (job.kind === "snapshot") {
    const found = await jobs.run({ kind: "look-at-snapshot", dir, name }, { withinMs });
    if (found === null) throw missing;
    return BigInt(found.sizeBytes);
  }
  const found = await jobs.run({ kind: "look", dir, subDir: job.subDir, name }, { withinMs });
  if (found === null || found.record?.state === "making") throw missing;
  return BigInt(found.record?.capacityBytes ?? 0);
}

/** Whether a volume that is there is what is asked for. */
export function mayBeSame(
  { name, capacityBytes, source }: VolumeRecord,
  { name: wanted, capacityRange }: CreateVolumeRequest,
  asked: VolumeSource | undefined,
): boolean {
  const { requiredBytes = 0n, limitBytes = 0n } = capacityRange ?? {};
  const size = BigInt(capacityBytes);
  return (
    name === wanted &&
    size >= requiredBytes &&
    (limitBytes === 0n || size <= limitBytes) &&
    source?.kind === asked?.kind &&
    source?.id === asked?.id
  );
}

export function volumeOf(
  volumeId: string,
  record: VolumeRecord | undefined,
  parameters: Readonly<Record<string, string>>,
) {
  const { source } = record ?? {};
  const volumeContext = Object.fromEntries(
    Object.entries(parameters).filter(([key]) => !key.startsWith("csi.storage.k8s.io/")),
  );
  return {
    volumeId,
    capacityBytes: BigInt(record?.capacityBytes ?? 0),
    volumeContext,
    ...(source !== undefined && {
      contentSource: {
        type:
          source.kind === "snapshot"
            ? { case: "snapshot" as const, value: { snapshotId: source.id } }
            : { case: "volume" as const, value: { volumeId: source.id } },
      },
    }),
  };
}
