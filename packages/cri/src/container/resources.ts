import type { LinuxContainerResources } from "@tripod/api/cri";
import { noResources, type ResourcesRequest } from "@tripod/oci";

/** The limits of a request in the low-level runtime's terms. */
export const resourcesRequest = (resources: LinuxContainerResources | undefined): ResourcesRequest =>
  resources === undefined
    ? noResources
    : {
        cpuPeriodUs: Number(resources.cpuPeriod),
        cpuQuotaUs: Number(resources.cpuQuota),
        cpuShares: Number(resources.cpuShares),
        memoryLimitBytes: Number(resources.memoryLimitInBytes),
        memorySwapLimitBytes: Number(resources.memorySwapLimitInBytes),
        cpusetCpus: resources.cpusetCpus,
        cpusetMems: resources.cpusetMems,
        hugepageLimits: resources.hugepageLimits.map(({ pageSize, limit }) => ({
          pageSize,
          limitBytes: Number(limit),
        })),
        unified: resources.unified,
      };

/** `now` with what `change` sets: 0 and "" in an update mean "leave as it is". */
export function mergeResources(
  now: LinuxContainerResources | undefined,
  change: LinuxContainerResources,
): LinuxContainerResources {
  if (now === undefined) return change;
  return {
    ...now,
    cpuPeriod: change.cpuPeriod || now.cpuPeriod,
    cpuQuota: change.cpuQuota || now.cpuQuota,
    cpuShares: change.cpuShares || now.cpuShares,
    memoryLimitInBytes: change.memoryLimitInBytes || now.memoryLimitInBytes,
    memorySwapLimitInBytes: change.memorySwapLimitInBytes || now.memorySwapLimitInBytes,
    oomScoreAdj: change.oomScoreAdj || now.oomScoreAdj,
    cpusetCpus: change.cpusetCpus || now.cpusetCpus,
    cpusetMems: change.cpusetMems || now.cpusetMems,
    hugepageLimits: change.hugepageLimits.length > 0 ? change.hugepageLimits : now.hugepageLimits,
    unified: { ...now.unified, ...change.unified },
  };
}
