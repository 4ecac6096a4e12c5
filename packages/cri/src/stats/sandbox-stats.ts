import type { MessageInitShape } from "@bufbuild/protobuf";
import type { NetworkUsageSchema, PodSandboxStatsSchema } from "@tripod/api/cri";
import { cgroupIoPressure, cgroupStats, countedProcesses } from "@tripod/linux";
import { containersOf } from "../container/containers-of.ts";
import type { CriContext } from "../context.ts";
import { nowNs } from "../now.ts";
import type { SandboxRecord } from "../records/sandbox-record.ts";
import { sandboxAttributes } from "../sandbox/view.ts";
import { containerStats } from "./container-stats.ts";
import type { CpuRates } from "./cpu-rate.ts";
import { paced } from "./paced.ts";
import { sandboxLinks } from "./sandbox-links.ts";
import { cpuUsage, ioUsage, memoryUsage } from "./usage.ts";

/** Traffic of the sandbox's interfaces; undefined when it uses the host's, or its namespace is gone. */
function networkUsage(
  context: CriContext,
  sandbox: SandboxRecord,
  atNs: bigint,
): MessageInitShape<typeof NetworkUsageSchema> | undefined {
  const interfaces = sandboxLinks(context, sandbox)?.map(({ name, statistics }) => ({
    name,
    rxBytes: { value: statistics?.rxBytes ?? 0n },
    rxErrors: { value: statistics?.rxErrors ?? 0n },
    txBytes: { value: statistics?.txBytes ?? 0n },
    txErrors: { value: statistics?.txErrors ?? 0n },
  }));
  if (interfaces === undefined) return undefined;
  const first = interfaces.find(({ name }) => name === "eth0") ?? interfaces[0];
  return {
    timestamp: atNs,
    ...(first !== undefined && { defaultInterface: first }),
    interfaces: interfaces.filter((one) => one !== first),
  };
}

/** What a sandbox and its containers use. */
export async function sandboxStats(
  context: CriContext,
  sandbox: SandboxRecord,
  rates: CpuRates,
): Promise<MessageInitShape<typeof PodSandboxStatsSchema>> {
  const atNs = nowNs();
  const stats = cgroupStats(sandbox.cgroupParent);
  const cpu = cpuUsage(stats, { key: sandbox.id, atNs, rates });
  const memory = memoryUsage(stats, atNs);
  const io = ioUsage(cgroupIoPressure(sandbox.cgroupParent), atNs);
  const network = networkUsage(context, sandbox, atNs);
  // The pids controller counts threads, which are not what is asked for.
  const processCount = { value: BigInt(countedProcesses(sandbox.cgroupParent).length) };
  const running = containersOf(context, sandbox.id).filter((container) => container.phase === "running");
  return {
    attributes: sandboxAttributes(sandbox),
    linux: {
      ...(cpu !== undefined && { cpu }),
      ...(memory !== undefined && { memory }),
      ...(io !== undefined && { io }),
      ...(network !== undefined && { network }),
      process: { timestamp: atNs, processCount },
      containers: await Array.fromAsync(paced(running, (container) => containerStats(context, container, rates))),
    },
  };
}
