import { containerConfigOf, type ContainerRecord } from "../../records/container-record.ts";
import type { Sample } from "./descriptors.ts";

/** The kernel's own, where a container asks for nothing. */
const defaultPeriodUs = 100_000n;
const defaultShares = 1024n;

/** What a container was promised and forbidden. */
export function specSamples(container: ContainerRecord): Sample[] {
  const resources = containerConfigOf(container).linux?.resources;
  const positive = (value: bigint | undefined, otherwise = 0n): bigint =>
    value === undefined || value <= 0n ? otherwise : value;
  const memory = positive(resources?.memoryLimitInBytes);
  const quota = positive(resources?.cpuQuota);
  const kept = /^\d{1,18}$/.exec(resources?.unified["memory.min"] ?? "")?.[0];
  return [
    {
      name: "container_start_time_seconds",
      value: BigInt(container.startedAtNs ?? container.createdAtNs) / 1_000_000_000n,
    },
    { name: "container_spec_cpu_period", value: positive(resources?.cpuPeriod, defaultPeriodUs) },
    { name: "container_spec_cpu_shares", value: positive(resources?.cpuShares, defaultShares) },
    ...(quota > 0n ? ([{ name: "container_spec_cpu_quota", value: quota }] as const) : []),
    { name: "container_spec_memory_limit_bytes", value: memory },
    { name: "container_spec_memory_reservation_limit_bytes", value: BigInt(kept ?? 0) },
    { name: "container_spec_memory_swap_limit_bytes", value: positive(resources?.memorySwapLimitInBytes, memory) },
  ];
}
