import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ContainerStatsSchema } from "@tripod/api/cri";
import { cgroupIoPressure, cgroupStats } from "@tripod/linux";
import { containerAttributes } from "../container/view.ts";
import type { CriContext } from "../context.ts";
import { nowNs } from "../now.ts";
import type { ContainerRecord } from "../records/container-record.ts";
import type { CpuRates } from "./cpu-rate.ts";
import { cpuUsage, ioUsage, memoryUsage, swapUsage } from "./usage.ts";

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
  const swap = swapUsage(stats, atNs);
  const io = ioUsage(cgroupIoPressure(container.cgroupsPath), atNs);
  const written = await context.writableUsages.get(container.id);
  return {
    attributes: containerAttributes(container),
    ...(cpu !== undefined && { cpu }),
    ...(memory !== undefined && { memory }),
    ...(swap !== undefined && { swap }),
    ...(io !== undefined && { io }),
    ...(written !== undefined && {
      writableLayer: {
        timestamp: written.atNs,
        fsId: { mountpoint: context.layout.snapshotsDir },
        usedBytes: { value: BigInt(written.bytes) },
        inodesUsed: { value: BigInt(written.inodes) },
      },
    }),
  };
}
