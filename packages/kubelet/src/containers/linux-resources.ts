import type { Container, Pod } from "@tripod/api/kubernetes";
import type { Machine } from "../node/machine.ts";
import { initContainers, isSidecar, qosClassOf, regularContainers } from "../pods/pod-facts.ts";
import { bytesOf, milliOf } from "../pods/quantities.ts";
import { hugePageLimits } from "./huge-pages.ts";

/** CRI's LinuxContainerResources as far as the kubelet sets it. */
export interface LinuxResources {
  readonly cpuPeriod: bigint;
  readonly cpuQuota: bigint;
  readonly cpuShares: bigint;
  readonly memoryLimitInBytes: bigint;
  readonly oomScoreAdj: bigint;
  readonly hugepageLimits: { pageSize: string; limit: bigint }[];
}

/** What of the machine counts for a container's limits. */
export type MachineMemory = Pick<Machine, "memoryBytes" | "hugePages">;

const cpuPeriodUs = 100_000;
const minShares = 2;
const maxShares = 262_144;
const minQuotaUs = 1000;

const sharesOf = (milli: number): number =>
  milli === 0 ? minShares : Math.min(maxShares, Math.max(minShares, Math.floor((milli * 1024) / 1000)));
const quotaOf = (milli: number): number =>
  milli === 0 ? 0 : Math.max(minQuotaUs, Math.floor((milli * cpuPeriodUs) / 1000));

/** How willingly the kernel kills the container when memory runs out: by QoS class, and by its share of the machine. */
export function oomScoreAdj(pod: Pod, container: Container, machineMemoryBytes: number): number {
  if (pod.spec?.priorityClassName === "system-node-critical") return -997;
  const qos = qosClassOf(pod);
  if (qos === "Guaranteed") return -997;
  if (qos === "BestEffort") return 1000;
  const request = bytesOf(container.resources?.requests?.["memory"] ?? container.resources?.limits?.["memory"]) ?? 0;
  const score = 1000 - Math.floor((1000 * request) / machineMemoryBytes);
  // Above the guaranteed ones, and below those that asked for nothing.
  return Math.min(999, Math.max(3, score));
}

/** A container's requests and limits as cgroup values. */
export function containerResources(pod: Pod, container: Container, machine: MachineMemory): LinuxResources {
  const { requests = {}, limits = {} } = container.resources ?? {};
  const cpuLimit = milliOf(limits["cpu"]) ?? 0;
  const cpuRequest = milliOf(requests["cpu"]) ?? cpuLimit;
  return {
    cpuPeriod: BigInt(cpuPeriodUs),
    cpuQuota: BigInt(quotaOf(cpuLimit)),
    cpuShares: BigInt(sharesOf(cpuRequest)),
    memoryLimitInBytes: BigInt(bytesOf(limits["memory"]) ?? 0),
    oomScoreAdj: BigInt(oomScoreAdj(pod, container, machine.memoryBytes)),
    hugepageLimits: hugePageLimits(
      container,
      machine.hugePages.map(({ pageBytes }) => pageBytes),
    ),
  };
}

/** What the whole Pod may use: its containers together, with room for the most demanding init container; 0 is "no limit". */
export function podResources(pod: Pod): Omit<LinuxResources, "oomScoreAdj" | "hugepageLimits"> {
  const limitOf = (read: typeof milliOf, kind: "requests" | "limits", name: string): number => {
    const own = (container: Container): number | undefined => {
      const { requests = {}, limits = {} } = container.resources ?? {};
      return read(kind === "limits" ? limits[name] : (requests[name] ?? limits[name]));
    };
    const steady = [...regularContainers(pod), ...initContainers(pod).filter(isSidecar)].map(own);
    const passing = initContainers(pod)
      .filter((container) => !isSidecar(container))
      .map(own);
    const all = [...steady, ...passing];
    if (kind === "limits" && all.some((value) => value === undefined)) return 0;
    const sum = steady.reduce<number>((total, value) => total + (value ?? 0), 0);
    return Math.max(sum, ...passing.map((value) => value ?? 0));
  };
  return {
    cpuPeriod: BigInt(cpuPeriodUs),
    cpuQuota: BigInt(quotaOf(limitOf(milliOf, "limits", "cpu"))),
    cpuShares: BigInt(sharesOf(limitOf(milliOf, "requests", "cpu"))),
    memoryLimitInBytes: BigInt(limitOf(bytesOf, "limits", "memory")),
  };
}
