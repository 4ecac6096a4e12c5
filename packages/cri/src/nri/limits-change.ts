import { clone, create } from "@bufbuild/protobuf";
import { HugepageLimitSchema, type LinuxContainerResources, LinuxContainerResourcesSchema } from "@tripod/api/cri";
import type { LinuxResources } from "@tripod/api/nri";
import { TripodError } from "@tripod/base";
import type { LimitsChange } from "../container/update.ts";

/** What a plugin wants a container's limits to be, over what a request asks for. What cannot be changed in a living container is refused. */
export function limitsChange(wish: LinuxResources, over?: LinuxContainerResources): LimitsChange {
  const { memory, cpu } = wish;
  const unable = (["blockioClass", "rdtClass"] as const).find((name) => wish[name] !== undefined);
  if (unable !== undefined) throw new TripodError("unimplemented", `nri: update of ${unable}: there are no classes`);
  const resources =
    over === undefined ? create(LinuxContainerResourcesSchema) : clone(LinuxContainerResourcesSchema, over);
  if (memory?.limit !== undefined) resources.memoryLimitInBytes = memory.limit.value;
  if (memory?.swap !== undefined) resources.memorySwapLimitInBytes = memory.swap.value;
  if (cpu?.shares !== undefined) resources.cpuShares = cpu.shares.value;
  if (cpu?.quota !== undefined) resources.cpuQuota = cpu.quota.value;
  if (cpu?.period !== undefined) resources.cpuPeriod = cpu.period.value;
  resources.cpusetCpus = cpu?.cpus || resources.cpusetCpus;
  resources.cpusetMems = cpu?.mems || resources.cpusetMems;
  const sizes = new Set(wish.hugepageLimits.map(({ pageSize }) => pageSize));
  resources.hugepageLimits = [
    ...resources.hugepageLimits.filter(({ pageSize }) => !sizes.has(pageSize)),
    ...wish.hugepageLimits.map(({ pageSize, limit }) => create(HugepageLimitSchema, { pageSize, limit })),
  ];
  resources.unified = { ...resources.unified, ...wish.unified };
  const { pids } = wish;
  return { resources, ...(pids !== undefined && { more: { pids: { limit: Number(pids.limit) } } }) };
}
