import type { LinuxContainerResources } from "@tripod/api/cri";
import { failpoint, TripodError } from "@tripod/base";
import { type CgroupLimits, createCgroup, limitCgroup } from "@tripod/linux";
import type { CriContext } from "../context.ts";
import { encodeSandboxConfig, sandboxConfigOf, type SandboxRecord } from "../records/sandbox-record.ts";

type Resources = LinuxContainerResources | undefined;

const defaultPeriodUs = 100_000;

/** What the containers may use together, and what the sandbox takes besides; a part that only one of them limits is not limited. */
export function podLimits(resources: Resources, overhead: Resources): CgroupLimits {
  if (resources === undefined) return {};
  const sum = (read: (of: LinuxContainerResources) => bigint): number | undefined => {
    const own = Number(read(resources));
    if (own === 0) return undefined;
    return own < 0 ? -1 : own + Math.max(0, overhead === undefined ? 0 : Number(read(overhead)));
  };
  const period = Number(resources.cpuPeriod) || defaultPeriodUs;
  const overheadPeriod = Number(overhead?.cpuPeriod ?? 0n) || defaultPeriodUs;
  const quota = Number(resources.cpuQuota);
  const overheadQuota = Math.max(0, Number(overhead?.cpuQuota ?? 0n)) * (period / overheadPeriod);
  const shares = sum((of) => of.cpuShares);
  const memory = sum((of) => of.memoryLimitInBytes);
  const withSwap = sum((of) => of.memorySwapLimitInBytes);
  return {
    ...(shares !== undefined && { cpuShares: Math.min(262_144, Math.max(2, shares)) }),
    ...(quota !== 0 && { cpuQuotaUs: quota < 0 ? -1 : Math.round(quota + overheadQuota), cpuPeriodUs: period }),
    ...(memory !== undefined && { memoryBytes: memory }),
    ...(withSwap !== undefined && { memoryAndSwapBytes: withSwap }),
    hugepages: resources.hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limitBytes: Number(limit) })),
    unified: resources.unified,
  };
}

const isEmpty = ({ hugepages = [], unified = {}, ...rest }: CgroupLimits): boolean =>
  Object.keys(rest).length === 0 && hugepages.length === 0 && Object.keys(unified).length === 0;

/** Limits the sandbox's cgroup as its configuration says. One that a kubelet has named is the kubelet's to limit. */
export function limitSandbox(context: CriContext, sandbox: SandboxRecord): void {
  const { linux } = sandboxConfigOf(sandbox);
  const limits = podLimits(linux?.resources, linux?.overhead);
  if (!sandbox.ownsCgroup || isEmpty(limits) || context.cgroupDriver === "systemd") return;
  createCgroup(sandbox.cgroupParent);
  failpoint("cri.sandbox.cgroup-made");
  limitCgroup(sandbox.cgroupParent, limits);
}

/** UpdatePodSandboxResources: changes what the Pod may use as a whole. */
export async function updateSandboxResources(
  context: CriContext,
  idOrPrefix: string,
  change: { readonly resources: Resources; readonly overhead: Resources },
): Promise<void> {
  const { id } = context.sandboxes.get(idOrPrefix);
  await context.locks.run(id, async () => {
    const sandbox = context.sandboxes.get(id);
    if (sandbox.phase !== "ready") {
      throw new TripodError("failed-precondition", `update sandbox ${id}: it is ${sandbox.phase}`);
    }
    if (sandbox.ownsCgroup && context.cgroupDriver === "systemd") {
      throw new TripodError(
        "failed-precondition",
        `update sandbox ${id}: its cgroup is a slice of systemd's; name a parent slice when it is made, and set that one's properties`,
      );
    }
    await context.nri.updatingSandbox(sandbox, change);
    const config = sandboxConfigOf(sandbox);
    const linux = {
      ...config.linux,
      $typeName: "runtime.v1.LinuxPodSandboxConfig" as const,
      cgroupParent: config.linux?.cgroupParent ?? "",
      sysctls: config.linux?.sysctls ?? {},
      ...(change.resources !== undefined && { resources: change.resources }),
      ...(change.overhead !== undefined && { overhead: change.overhead }),
    };
    const updated = { ...sandbox, config: encodeSandboxConfig({ ...config, linux }) };
    limitSandbox(context, updated);
    failpoint("cri.sandbox.updated");
    context.sandboxes.put(updated);
    context.nri.updatedSandbox(updated);
  });
}
