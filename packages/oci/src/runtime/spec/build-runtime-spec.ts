import type { IdMapping } from "@tripod/linux";
import type { IdMap } from "../../snapshots/snapshotter.ts";
import { buildSeccomp, type SeccompChoice } from "../seccomp/seccomp-choice.ts";
import { buildCapabilities, type CapabilityRequest, grantableCapabilities } from "./capabilities.ts";
import type { SelinuxLabels } from "../lsm/selinux.ts";
import { buildDevices, type DeviceRequest, type HostDevices } from "./devices.ts";
import { type BindRequest, buildMounts, rootPropagation } from "./mounts.ts";
import { buildNamespaces, type NamespaceRequest } from "./namespaces.ts";
import { clampOomScore } from "./oom-score.ts";
import type { ResolvedUser } from "./process-user.ts";
import { buildResources, type CgroupAbilities, type ResourcesRequest } from "./resources.ts";
import { buildRlimits, type RlimitRequest } from "./rlimits.ts";
import type { IdMappingSpec, RuntimeSpec } from "./runtime-spec.ts";

/** All that config.json follows from, in the caller's terms. */
export interface RuntimeSpecRequest {
  /** Absolute path of the root file system. */
  readonly rootfs: string;
  readonly rootReadonly: boolean;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly environment: readonly string[];
  readonly terminal: boolean;
  readonly user: ResolvedUser;
  readonly noNewPrivileges: boolean;
  readonly privileged: boolean;
  /** Whether the Pod may have privileged containers: they share one sysfs with this one. */
  readonly privilegedPod?: boolean;
  readonly capabilities: Omit<CapabilityRequest, "privileged">;
  readonly rlimits: RlimitRequest;
  readonly oomScoreAdj: number;
  /** Sets the name in a new UTS namespace; leave it out when joining one. */
  readonly hostname?: string;
  readonly namespaces: NamespaceRequest;
  /** The mapping of the user namespace that `namespaces` names. */
  readonly idMap?: Pick<IdMap, "uids" | "gids">;
  readonly binds: readonly BindRequest[];
  readonly devices: readonly DeviceRequest[];
  /** What a privileged container gets of the host's devices; "all" unless told. */
  readonly hostDevices?: HostDevices;
  /** Whether an unprivileged container may manage its own cgroup; of use on cgroup v2 alone. */
  readonly cgroupWritable?: boolean;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly sysctls: Readonly<Record<string, string>>;
  /** Absolute, below the root of every hierarchy; or "slice:prefix:name" for a runtime that asks systemd for it. */
  readonly cgroupsPath: string;
  readonly cgroup: CgroupAbilities;
  readonly resources: ResourcesRequest;
  readonly seccomp: SeccompChoice;
  /** The name of a profile that the kernel has. */
  readonly apparmorProfile?: string | undefined;
  readonly selinux?: SelinuxLabels | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

const mappingSpec = ({ containerId, hostId, length }: IdMapping): IdMappingSpec => ({
  containerID: containerId,
  hostID: hostId,
  size: length,
});

/** config.json for `request`. A request that cannot be met is a TripodError that says which part of it. */
export function buildRuntimeSpec(request: RuntimeSpecRequest): RuntimeSpec {
  const capabilities = buildCapabilities({ ...request.capabilities, privileged: request.privileged });
  const { devices, rules } = buildDevices({
    host: request.privileged ? (request.hostDevices ?? "all") : "none",
    devices: request.devices,
  });
  const seccomp = request.privileged ? undefined : buildSeccomp(request.seccomp, capabilities.bounding);
  const sysResource = grantableCapabilities().includes("CAP_SYS_RESOURCE");
  const rlimits = buildRlimits(request.rlimits, { sysResource });
  const propagation = rootPropagation(request.binds);
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: request.terminal,
      user: { uid: request.user.uid, gid: request.user.gid, additionalGids: request.user.additionalGids },
      args: request.args,
      env: request.environment,
      cwd: request.cwd,
      capabilities,
      ...(rlimits.length > 0 && { rlimits }),
      noNewPrivileges: request.noNewPrivileges,
      oomScoreAdj: clampOomScore(request.oomScoreAdj, { sysResource }),
      ...(request.apparmorProfile !== undefined && { apparmorProfile: request.apparmorProfile }),
      // A privileged container keeps the daemon's own context.
      ...(request.selinux !== undefined && !request.privileged && { selinuxLabel: request.selinux.process }),
    },
    root: { path: request.rootfs, readonly: request.rootReadonly },
    ...(request.hostname !== undefined && { hostname: request.hostname }),
    mounts: buildMounts({
      privileged: request.privileged,
      sysWritable: request.privileged || request.privilegedPod === true,
      cgroupWritable: request.cgroupWritable ?? false,
      binds: request.binds,
    }),
    annotations: request.annotations,
    linux: {
      namespaces: buildNamespaces(request.namespaces),
      ...(request.idMap !== undefined && {
        uidMappings: [mappingSpec(request.idMap.uids)],
        gidMappings: [mappingSpec(request.idMap.gids)],
      }),
      cgroupsPath: request.cgroupsPath,
      resources: { ...buildResources(request.resources, request.cgroup), devices: rules },
      devices,
      maskedPaths: request.privileged ? [] : request.maskedPaths,
      readonlyPaths: request.privileged
        ? []
        : [...(request.privilegedPod === true ? ["/sys"] : []), ...request.readonlyPaths],
      sysctl: request.sysctls,
      ...(propagation !== undefined && { rootfsPropagation: propagation }),
      ...(seccomp !== undefined && { seccomp }),
      ...(request.selinux !== undefined && { mountLabel: request.selinux.mount }),
    },
  };
}
