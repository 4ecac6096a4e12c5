import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import {
  type Container,
  ContainerSchema,
  ContainerState,
  type LinuxResources,
  LinuxResourcesSchema,
  type PodSandbox,
  PodSandboxSchema,
} from "@tripod/api/nri";
import type { LinuxContainerResources } from "@tripod/api/cri";
import { isNodeError } from "@tripod/base";
import type { RuntimeSpec } from "@tripod/oci";
import { bundleOf, type CriContext } from "../context.ts";
import { containerConfigOf, containerMetadata, type ContainerRecord } from "../records/container-record.ts";
import { sandboxConfigOf, sandboxMetadata, type SandboxRecord } from "../records/sandbox-record.ts";

const states = {
  making: ContainerState.CONTAINER_CREATED,
  created: ContainerState.CONTAINER_CREATED,
  starting: ContainerState.CONTAINER_CREATED,
  running: ContainerState.CONTAINER_RUNNING,
  exited: ContainerState.CONTAINER_STOPPED,
  removing: ContainerState.CONTAINER_STOPPED,
} as const;

const optional = <T>(value: T | undefined): { value: T } | undefined => (value === undefined ? undefined : { value });
const optionalBig = (value: number | undefined): { value: bigint } | undefined =>
  value === undefined ? undefined : { value: BigInt(Math.trunc(value)) };

/** 2^64 - 1, which a file may hold, is more when it has been read as a double. */
const unsigned = (value: number): bigint => BigInt.asUintN(64, BigInt(value) > 2n ** 64n - 1n ? -1n : BigInt(value));

/** Limits as a kubelet tells them, in NRI's terms: what is not set is left out. */
export function describeResources(from: LinuxContainerResources | undefined): LinuxResources {
  if (from === undefined) return create(LinuxResourcesSchema);
  const set = (value: bigint): { value: bigint } | undefined => (value === 0n ? undefined : { value });
  return create(LinuxResourcesSchema, {
    memory: { limit: set(from.memoryLimitInBytes), swap: set(from.memorySwapLimitInBytes) },
    cpu: {
      shares: set(from.cpuShares),
      quota: set(from.cpuQuota),
      period: set(from.cpuPeriod),
      cpus: from.cpusetCpus,
      mems: from.cpusetMems,
    },
    hugepageLimits: from.hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limit })),
    unified: from.unified,
  });
}

function specResources({ resources }: RuntimeSpec["linux"]): LinuxResources {
  const { memory, cpu, pids } = resources;
  return create(LinuxResourcesSchema, {
    memory: { limit: optionalBig(memory?.limit), swap: optionalBig(memory?.swap) },
    cpu: {
      shares: optionalBig(cpu?.shares),
      quota: optionalBig(cpu?.quota),
      period: optionalBig(cpu?.period),
      cpus: cpu?.cpus ?? "",
      mems: cpu?.mems ?? "",
    },
    ...(pids !== undefined && { pids: { limit: BigInt(pids.limit) } }),
    hugepageLimits: (resources.hugepageLimits ?? []).map(({ pageSize, limit }) => ({ pageSize, limit: BigInt(limit) })),
    unified: { ...resources.unified },
    devices: (resources.devices ?? []).map((rule) => ({
      allow: rule.allow,
      type: rule.type ?? "",
      major: optionalBig(rule.major),
      minor: optionalBig(rule.minor),
      access: rule.access,
    })),
  });
}

export function describePod(sandbox: SandboxRecord): PodSandbox {
  const config = sandboxConfigOf(sandbox);
  const { name, namespace, uid } = sandboxMetadata(config);
  const { linux } = config;
  return create(PodSandboxSchema, {
    id: sandbox.id,
    name,
    namespace,
    uid,
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: sandbox.handler,
    ips: [...sandbox.ips],
    pid: sandbox.init?.pid ?? 0,
    linux: {
      cgroupParent: linux?.cgroupParent ?? "",
      cgroupsPath: sandbox.cgroupParent,
      ...(linux?.overhead !== undefined && { podOverhead: describeResources(linux.overhead) }),
      ...(linux?.resources !== undefined && { podResources: describeResources(linux.resources) }),
    },
  });
}

/** `spec`: its config.json, where there is one. */
export function describeContainer(container: ContainerRecord, spec?: RuntimeSpec): Container {
  const config = containerConfigOf(container);
  const { user, exit } = container;
  const resources = describeResources(config.linux?.resources);
  const described = {
    id: container.id,
    podSandboxId: container.sandboxId,
    name: containerMetadata(config).name,
    state: states[container.phase],
    labels: config.labels,
    annotations: config.annotations,
    pid: container.init?.pid ?? 0,
    createdAt: BigInt(container.createdAtNs),
    startedAt: BigInt(container.startedAtNs ?? 0),
    finishedAt: BigInt(exit?.finishedAtNs ?? 0),
    exitCode: exit?.code ?? 0,
    statusReason: exit?.reason ?? "",
    statusMessage: exit?.message ?? "",
    CDIDevices: config.CDIDevices.map(({ name }) => ({ name })),
    image: { name: container.imageName, digest: digestOf(container.imageRef), configDigest: container.imageId },
    ...(user !== undefined && { user: { uid: user.uid, gid: user.gid, additionalGids: [...user.groups] } }),
    linux: { cgroupsPath: container.cgroupsPath, resources },
  };
  if (spec === undefined) return create(ContainerSchema, described);
  const { process, linux } = spec;
  return create(ContainerSchema, {
    ...described,
    annotations: { ...config.annotations, ...spec.annotations },
    args: [...process.args],
    env: [...process.env],
    mounts: spec.mounts.map((mount) => ({ ...mount, options: [...mount.options] })),
    rlimits: (process.rlimits ?? []).map(({ type, soft, hard }) => ({
      type,
      soft: unsigned(soft),
      hard: unsigned(hard),
    })),
    user: { uid: process.user.uid, gid: process.user.gid, additionalGids: [...(process.user.additionalGids ?? [])] },
    hooks: Object.fromEntries(
      Object.entries(spec.hooks ?? {}).map(([kind, hooks]) => [
        kind,
        hooks.map(({ path, args, env, timeout }) => ({
          path,
          args: [...(args ?? [])],
          env: [...(env ?? [])],
          timeout: optionalBig(timeout),
        })),
      ]),
    ),
    linux: {
      namespaces: linux.namespaces.map(({ type, path }) => ({ type, path: path ?? "" })),
      devices: linux.devices.map((device) => ({
        path: device.path,
        type: device.type,
        major: BigInt(device.major),
        minor: BigInt(device.minor),
        fileMode: optional(device.fileMode),
        uid: optional(device.uid),
        gid: optional(device.gid),
      })),
      resources: container.phase === "making" ? specResources(linux) : resources,
      oomScoreAdj: optionalBig(process.oomScoreAdj),
      cgroupsPath: linux.cgroupsPath,
      sysctl: linux.sysctl,
      ...(linux.seccomp !== undefined && {
        seccompPolicy: {
          defaultAction: linux.seccomp.defaultAction,
          defaultErrno: optional(linux.seccomp.defaultErrnoRet),
          architectures: [...(linux.seccomp.architectures ?? [])],
          flags: [...(linux.seccomp.flags ?? [])],
          syscalls: linux.seccomp.syscalls.map((rule) => ({
            names: [...rule.names],
            action: rule.action,
            errnoRet: optional(rule.errnoRet),
            args: (rule.args ?? []).map(({ index, value, valueTwo, op }) => ({
              index,
              value: unsigned(value),
              valueTwo: unsigned(valueTwo ?? 0),
              op,
            })),
          })),
        },
      }),
    },
  });
}

const digestOf = (imageRef: string): string => imageRef.slice(imageRef.indexOf("@") + 1);

/** The container with what its config.json says, while that is there. */
export async function describeStored(context: CriContext, container: ContainerRecord): Promise<Container> {
  try {
    const text = await readFile(join(bundleOf(context, container.id), "config.json"), "utf8");
    return describeContainer(container, JSON.parse(text) as RuntimeSpec); // written by us
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return describeContainer(container);
    throw error;
  }
}
