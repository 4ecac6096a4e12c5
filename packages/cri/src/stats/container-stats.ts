import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ContainerStatsSchema } from "@tripod/api/cri";
import { isTripodError } from "@tripod/base";
import { cgroupStats } from "@tripod/linux";
import { containerAttributes } from "../container/view.ts";
import type { CriContext } from "../context.ts";
import { nowNs } from "../now.ts";
import type { ContainerRecord } from "../records/container-record.ts";
import type { CpuRates } from "./cpu-rate.ts";
import { cpuUsage, memoryUsage } from "./usage.ts";

/** What a container uses; one that has ended still has its writable layer. */
export async function containerStats(
  context: CriContext,
  container: ContainerRecord,
  rates: CpuRates,
): Promise<MessageInitShape<typeof ContainerStatsSchema>> {
  const atNs = nowNs();
  const stats = cgroupStats(container.cgroupsPath);
  const cpu = cpuUsage(stats, { key: container.id, atNs, rates });
  const memory = memoryUsage(stats, atNs);
  return {
    attributes: containerAttributes(container),
    ...(cpu !== undefined && { cpu }),
    ...(memory !== undefined && { memory }),
    ...(await writableLayer(context, container, atNs)),
  };
}

async function writableLayer(
  context: CriContext,
  container: ContainerRecord,
  atNs: bigint,
): Promise<Pick<MessageInitShape<typeof ContainerStatsSchema>, "writableLayer">> {
  try {
    const { bytes, inodes } = await context.images.rootfsUsage(container.id);
    return {
      writableLayer: {
        timestamp: atNs,
        fsId: { mountpoint: join(context.layout.snapshotsDir) },
        usedBytes: { value: BigInt(bytes) },
        inodesUsed: { value: BigInt(inodes) },
      },
    };
  } catch (error) {
    if (isTripodError(error, "not-found")) return {}; // it is being removed
    throw error;
  }
}
