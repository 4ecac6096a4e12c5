import { TripodError } from "@tripod/base";
import type { ResourcesSpec } from "./runtime-spec.ts";

/** Limits of a container; 0 or "" means "not set", as on the CRI wire. */
export interface ResourcesRequest {
  readonly cpuPeriodUs: number;
  readonly cpuQuotaUs: number;
  readonly cpuShares: number;
  /** -1 is unlimited. */
  readonly memoryLimitBytes: number;
  /** Memory and swap together, as cgroup v1 counts; 0 means as much as the memory limit: no swap. -1 is unlimited. */
  readonly memorySwapLimitBytes: number;
  readonly cpusetCpus: string;
  readonly cpusetMems: string;
  readonly hugepageLimits: readonly { readonly pageSize: string; readonly limitBytes: number }[];
  /** cgroup v2 files by name; set only where v2 has the controllers. */
  readonly unified: Readonly<Record<string, string>>;
}

/** Nothing limited. */
export const noResources: ResourcesRequest = {
  cpuPeriodUs: 0,
  cpuQuotaUs: 0,
  cpuShares: 0,
  memoryLimitBytes: 0,
  memorySwapLimitBytes: 0,
  cpusetCpus: "",
  cpusetMems: "",
  hugepageLimits: [],
  unified: {},
};

/** What the machine can limit. */
export interface CgroupAbilities {
  readonly version: "v1" | "v2" | "hybrid";
  /** Whether swap is counted (memory.memsw.* or memory.swap.max is there). */
  readonly swapLimit: boolean;
  readonly hugetlb: boolean;
}

/** `linux.resources` without the device rules. */
export function buildResources(request: ResourcesRequest, abilities: CgroupAbilities): ResourcesSpec {
  const cpu = {
    ...(request.cpuShares > 0 && { shares: Math.max(2, request.cpuShares) }),
    ...(request.cpuQuotaUs !== 0 && { quota: request.cpuQuotaUs }),
    ...(request.cpuPeriodUs > 0 && { period: request.cpuPeriodUs }),
    ...(request.cpusetCpus !== "" && { cpus: request.cpusetCpus }),
    ...(request.cpusetMems !== "" && { mems: request.cpusetMems }),
  };
  const swap = request.memorySwapLimitBytes === 0 ? request.memoryLimitBytes : request.memorySwapLimitBytes;
  const memory = {
    ...(request.memoryLimitBytes !== 0 && { limit: request.memoryLimitBytes }),
    ...(request.memoryLimitBytes !== 0 && abilities.swapLimit && { swap }),
  };
  const unified = Object.keys(request.unified).length > 0;
  if (unified && abilities.version !== "v2") {
    throw new TripodError(
      "failed-precondition",
      "resources: unified limits were asked for, but this machine's controllers are cgroup v1",
    );
  }
  // As containerd and CRI-O: where the kernel cannot limit huge pages, they are had without a limit.
  const huge = abilities.hugetlb ? request.hugepageLimits : [];
  return {
    ...(Object.keys(cpu).length > 0 && { cpu }),
    ...(Object.keys(memory).length > 0 && { memory }),
    ...(huge.length > 0 && {
      hugepageLimits: huge.map(({ pageSize, limitBytes }) => ({ pageSize, limit: limitBytes })),
    }),
    ...(unified && { unified: request.unified }),
  };
}
