import { hostname } from "node:os";
import type { ContainerConfig } from "@tripod/api/cri";
import { TripodError } from "@tripod/base";
import {
  applyCdiEdits,
  buildApparmor,
  buildEnvironment,
  buildRuntimeSpec,
  cdiDevicesOf,
  type Image,
  readAccounts,
  resolveUser,
  type RuntimeSpec,
} from "@tripod/oci";
import type { CriContext } from "../context.ts";
import { sandboxConfigOf, type SandboxRecord } from "../records/sandbox-record.ts";
import { allowedAnnotations } from "../runtime/allowed-annotations.ts";
import { cgroupsPathInSpec, scopeAnnotations } from "../runtime/cgroup-driver.ts";
import { handlerOf } from "../runtime/handler.ts";
import { sandboxPaths } from "../sandbox/paths.ts";
import { idMapOf } from "../sandbox/user-namespace.ts";
import { bindsOf } from "./binds.ts";
import { commandOf } from "./command.ts";
import { imageVolumePaths, makeImageVolumes } from "./image-volumes.ts";
import { checkUserNamespace, namespacesOf } from "./namespace-choice.ts";
import { readyAddedMounts } from "./ready-added-mounts.ts";
import { readyMounts } from "./ready-mounts.ts";
import { resourcesRequest } from "./resources.ts";
import { rlimitsOf } from "./rlimits.ts";
import { apparmorOf, seccompOf, seccompRootOf, userOf } from "./security.ts";
import { selinuxOf } from "./selinux.ts";

const decoder = new TextDecoder();

/** config.json of a container; the volumes of its image are made for it. */
export async function containerSpec(
  context: CriContext,
  from: {
    readonly sandbox: SandboxRecord;
    readonly config: ContainerConfig;
    readonly image: Image;
    readonly rootfs: string;
    readonly id: string;
    readonly cgroupsPath: string;
  },
): Promise<RuntimeSpec> {
  const { config, sandbox, rootfs } = from;
  const execution = from.image.config.config ?? {};
  const security = config.linux?.securityContext;
  const sandboxConfig = sandboxConfigOf(sandbox);
  const { runtime, settings: handler } = handlerOf(context, sandbox.handler);
  const privileged = security?.privileged ?? false;
  if (privileged && sandboxConfig.linux?.securityContext?.privileged !== true) {
    throw new TripodError("invalid", "container: a privileged container needs a privileged sandbox");
  }
  const cdi = context.cdi.resolve(
    cdiDevicesOf({ devices: config.CDIDevices.map(({ name }) => name), annotations: config.annotations }),
  );
  const user = resolveUser(userOf(security, execution.User), readAccounts(rootfs));
  checkUserNamespace(sandbox, security?.namespaceOptions, user);
  const rootReadonly = security?.readonlyRootfs ?? false;
  const abilities = await runtime.features();
  const idMap = idMapOf(context, sandbox);
  const binds = bindsOf(config.mounts, sandbox, { paths: sandboxPaths(context, sandbox), rootReadonly });
  const taken = new Set(binds.map(({ destination }) => destination));
  const volumes = await makeImageVolumes(context, {
    id: from.id,
    rootfs,
    paths: imageVolumePaths(execution.Volumes ?? {}, taken),
    ...(idMap !== undefined && { owner: { uid: idMap.uids.hostId, gid: idMap.gids.hostId } }),
  });
  const spec = buildRuntimeSpec({
    rootfs,
    rootReadonly,
    args: commandOf(config, execution),
    cwd: config.workingDir || execution.WorkingDir || "/",
    environment: buildEnvironment({
      image: execution.Env ?? [],
      own: config.envs.map(({ key, value }) => `${key}=${decoder.decode(value)}`),
      terminal: config.tty,
      hostname: sandboxConfig.hostname || hostname(),
      home: user.home,
    }),
    terminal: config.tty,
    user,
    noNewPrivileges: security?.noNewPrivs ?? false,
    privileged,
    privilegedPod: sandboxConfig.linux?.securityContext?.privileged ?? false,
    capabilities: {
      add: security?.capabilities?.addCapabilities ?? [],
      drop: security?.capabilities?.dropCapabilities ?? [],
      ambient: security?.capabilities?.addAmbientCapabilities ?? [],
    },
    rlimits: rlimitsOf(context.config, handler, {
      annotations: sandboxConfig.annotations,
      container: config.metadata?.name ?? "",
    }),
    oomScoreAdj: Number(config.linux?.resources?.oomScoreAdj ?? 0n),
    namespaces: namespacesOf(context, sandbox, security?.namespaceOptions),
    ...(idMap !== undefined && { idMap }),
    binds: [...(await readyMounts(context, binds, { containerId: from.id, idMap, abilities })), ...volumes],
    devices: config.devices,
    hostDevices: handler.privilegedHostDevices ?? "all",
    cgroupWritable: handler.cgroupWritable ?? false,
    maskedPaths: security?.maskedPaths ?? [],
    readonlyPaths: security?.readonlyPaths ?? [],
    sysctls: {},
    cgroupsPath: cgroupsPathInSpec(from.cgroupsPath),
    cgroup: context.cgroup,
    resources: resourcesRequest(config.linux?.resources),
    seccomp: seccompOf(security, seccompRootOf(context)),
    apparmorProfile: await buildApparmor(apparmorOf(security)),
    selinux: selinuxOf(context, sandbox, security?.selinuxOptions),
    annotations: {
      ...allowedAnnotations({ pod: sandboxConfig.annotations, container: config.annotations }, handler),
      ...scopeAnnotations(from.cgroupsPath),
    },
  });
  const edited = applyCdiEdits(spec, cdi);
  return await readyAddedMounts(context, edited, {
    before: spec.mounts,
    prefix: "cdi-",
    containerId: from.id,
    idMap,
    abilities,
  });
}
