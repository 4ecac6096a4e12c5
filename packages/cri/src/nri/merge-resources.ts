import { clone, create } from "@bufbuild/protobuf";
import { Field, LinuxCPUSchema, LinuxMemorySchema, type LinuxResources, LinuxResourcesSchema } from "@tripod/api/nri";
import type { Owners } from "./owners.ts";

const memoryFields = [
  ["limit", Field.MemLimit],
  ["reservation", Field.MemReservation],
  ["swap", Field.MemSwapLimit],
  ["kernel", Field.MemKernelLimit],
  ["kernelTcp", Field.MemTCPLimit],
  ["swappiness", Field.MemSwappiness],
  ["disableOomKiller", Field.MemDisableOomKiller],
  ["useHierarchy", Field.MemUseHierarchy],
] as const;

const cpuFields = [
  ["shares", Field.CPUShares],
  ["quota", Field.CPUQuota],
  ["period", Field.CPUPeriod],
  ["realtimeRuntime", Field.CPURealtimeRuntime],
  ["realtimePeriod", Field.CPURealtimePeriod],
  ["cpus", Field.CPUSetCPUs],
  ["mems", Field.CPUSetMems],
] as const;

/** Copies one field of a message to another of its kind, when it is set. */
function take<M extends object, K extends keyof M>(from: M, to: M, key: K, claim: () => void): void {
  const value = from[key];
  if (value === undefined || value === "") return;
  claim();
  to[key] = value;
}

/** Puts one plugin's wishes into `into`, each claimed in `owners`; what a field holds that nobody asked about stays. */
export function mergeResources(
  wish: LinuxResources | undefined,
  by: {
    readonly into: LinuxResources;
    readonly owners: Pick<Owners, "claim">;
    readonly containerId: string;
    readonly plugin: string;
  },
): void {
  if (wish === undefined) return;
  const { into, owners, containerId, plugin } = by;
  const claim = (field: Field, key?: string): void => owners.claim(containerId, field, plugin, key);
  if (wish.memory !== undefined) {
    into.memory ??= create(LinuxMemorySchema);
    for (const [key, field] of memoryFields) take(wish.memory, into.memory, key, () => claim(field));
  }
  if (wish.cpu !== undefined) {
    into.cpu ??= create(LinuxCPUSchema);
    for (const [key, field] of cpuFields) take(wish.cpu, into.cpu, key, () => claim(field));
  }
  for (const limit of wish.hugepageLimits) {
    claim(Field.HugepageLimits, limit.pageSize);
    into.hugepageLimits = [...into.hugepageLimits.filter(({ pageSize }) => pageSize !== limit.pageSize), limit];
  }
  for (const [file, value] of Object.entries(wish.unified)) {
    claim(Field.CgroupsUnified, file);
    into.unified[file] = value;
  }
  into.devices.push(...wish.devices);
  take(wish, into, "blockioClass", () => claim(Field.BlockioClass));
  take(wish, into, "rdtClass", () => claim(Field.RdtClass));
  take(wish, into, "pids", () => claim(Field.PidsLimit));
}

export const copyResources = (resources: LinuxResources | undefined): LinuxResources =>
  resources === undefined ? create(LinuxResourcesSchema) : clone(LinuxResourcesSchema, resources);
