import type { MessageInitShape } from "@bufbuild/protobuf";
import type { NetworkUsageSchema, PodSandboxStatsSchema } from "@tripod/api/cri";
import { cgroupStats, openRtnetlink } from "@tripod/linux";
import { containersOf } from "../container/containers-of.ts";
import type { CriContext } from "../context.ts";
import { nowNs } from "../now.ts";
import type { SandboxRecord } from "../records/sandbox-record.ts";
import { sandboxPaths } from "../sandbox/paths.ts";
import { namespacesAlive } from "../sandbox/namespaces.ts";
import { sandboxAttributes } from "../sandbox/view.ts";
import { containerStats } from "./container-stats.ts";
import type { CpuRates } from "./cpu-rate.ts";
import { cpuUsage, memoryUsage } from "./usage.ts";

/** Traffic of the sandbox's interfaces; undefined when it uses the host's, or its namespace is gone. */
function networkUsage(
  context: CriContext,
  sandbox: SandboxRecord,
  atNs: bigint,
): MessageInitShape<typeof NetworkUsageSchema> | undefined {
  const { net } = sandboxPaths(context, sandbox);
  if (net === undefined || !namespacesAlive(context, sandbox)) return undefined;
  using rtnetlink = openRtnetlink({ netns: net });
  const interfaces = rtnetlink
    .links()
    .filter((link) => !link.loopback)
    .map(({ name, statistics }) => ({
      name,
      rxBytes: { value: statistics?.rxBytes ?? 0n },
      rxErrors: { value: statistics?.rxErrors ?? 0n },
      txBytes: { value: statistics?.txBytes ?? 0n },
      txErrors: { value: statistics?.txErrors ?? 0n },
    }));
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
  const network = networkUsage(context, sandbox, atNs);
  const running = containersOf(context, sandbox.id).filter((container) => container.phase === "running");
  // The pids controller of a group counts what is in the groups below it, too.
  const processes = stats.pids?.current;
  return {
    attributes: sandboxAttributes(sandbox),
    linux: {
      ...(cpu !== undefined && { cpu }),
      ...(memory !== undefined && { memory }),
      ...(network !== undefined && { network }),
      ...(processes !== undefined && { process: { timestamp: atNs, processCount: { value: BigInt(processes) } } }),
      containers: await Promise.all(running.map((container) => containerStats(context, container, rates))),
    },
  };
}
