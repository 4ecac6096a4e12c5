import { clone, create } from "@bufbuild/protobuf";
import { HugepageLimitSchema, type LinuxContainerResources, LinuxContainerResourcesSchema } from "@tripod/api/cri";
import type { LinuxResources } from "@tripod/api/nri";
import { TripodError } from "@tripod/base";
import type { LimitsChange } from "../container/update.ts";
import type { WantedUpdate } from "./merge-updates.ts";

/** What is set of that which only a new container can be given, and of that which none can. */
function unableOf({ memory, cpu, devices, blockioClass, rdtClass }: LinuxResources): string[] {
  const { reservation, kernel, kernelTcp, swappiness, disableOomKiller, useHierarchy } = memory ?? {};
  const { realtimeRuntime, realtimePeriod } = cpu ?? {};
  const unable = {
    "memory reservation": reservation,
    "memory kernel": kernel,
    "memory kernelTcp": kernelTcp,
    "memory swappiness": swappiness,
    "memory disableOomKiller": disableOomKiller,
    "memory useHierarchy": useHierarchy,
    "cpu realtimeRuntime": realtimeRuntime,
    "cpu realtimePeriod": realtimePeriod,
    devices: devices.length > 0 ? devices : undefined,
    blockioClass,
    rdtClass,
  };
  return Object.entries(unable).flatMap(([name, value]) => (value === undefined ? [] : [name]));
}

/** What plugins want a container's limits to be, over what a request asks for. What cannot be changed in a living container is refused. */
export function limitsChange(
  { resources: wish, plugins }: Pick<WantedUpdate, "resources" | "plugins">,
  over?: LinuxContainerResources,
): LimitsChange {
  const { memory, cpu } = wish;
  const unable = unableOf(wish);
  if (unable.length > 0) {
    throw new TripodError(
      "unimplemented",
      `nri: plugin ${plugins.join(", ")} asks for an update of ${unable.join(", ")}: that cannot be changed in a container that lives; leave it out`,
    );
  }
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
