import { join } from "node:path";
import type { ContainerConfig } from "@tripod/api/cri";
import { TripodError } from "@tripod/base";
import {
  buildEnvironment,
  buildRuntimeSpec,
  type Image,
  readAccounts,
  type ResolvedUser,
  resolveUser,
  type RuntimeSpec,
} from "@tripod/oci";
import type { CriContext } from "../context.ts";
import { sandboxConfigOf, type SandboxRecord } from "../records/sandbox-record.ts";
import { cgroupsPathInSpec, scopeAnnotations } from "../runtime/cgroup-driver.ts";
import { runtimeOf } from "../runtime/handler.ts";
import { sandboxPaths } from "../sandbox/paths.ts";
import { bindsOf } from "./binds.ts";
import { commandOf } from "./command.ts";
import { namespacesOf } from "./namespace-choice.ts";
import { resourcesRequest } from "./resources.ts";
import { seccompOf, userOf } from "./security.ts";

const decoder = new TextDecoder();

/** config.json of a container, and who it runs as. */
export async function containerSpec(
  context: CriContext,
  from: {
    readonly sandbox: SandboxRecord;
    readonly config: ContainerConfig;
    readonly image: Image;
    readonly rootfs: string;
    readonly cgroupsPath: string;
  },
): Promise<{ readonly spec: RuntimeSpec; readonly user: ResolvedUser }> {
  const { config, sandbox, rootfs } = from;
  const execution = from.image.config.config ?? {};
  const security = config.linux?.securityContext;
  const sandboxConfig = sandboxConfigOf(sandbox);
  const privileged = security?.privileged ?? false;
  if (privileged && sandboxConfig.linux?.securityContext?.privileged !== true) {
    throw new TripodError("invalid", "container: a privileged container needs a privileged sandbox");
  }
  if (config.CDIDevices.length > 0) {
    throw new TripodError("unimplemented", `container: CDI device ${config.CDIDevices[0]?.name}: CDI is not supported`);
  }
  const user = resolveUser(userOf(security, execution.User), readAccounts(rootfs));
  const rootReadonly = security?.readonlyRootfs ?? false;
  const { recursiveReadonly } = await runtimeOf(context, sandbox.handler).features();
  const spec = buildRuntimeSpec({
    rootfs,
    rootReadonly,
    args: commandOf(config, execution),
    cwd: config.workingDir || execution.WorkingDir || "/",
    environment: buildEnvironment({
      image: execution.Env ?? [],
      own: config.envs.map(({ key, value }) => `${key}=${decoder.decode(value)}`),
      terminal: config.tty,
      hostname: sandboxConfig.hostname,
      home: user.home,
    }),
    terminal: config.tty,
    user,
    noNewPrivileges: security?.noNewPrivs ?? false,
    privileged,
    capabilities: {
      add: security?.capabilities?.addCapabilities ?? [],
      drop: security?.capabilities?.dropCapabilities ?? [],
      ambient: security?.capabilities?.addAmbientCapabilities ?? [],
    },
    rlimits: [],
    oomScoreAdj: Number(config.linux?.resources?.oomScoreAdj ?? 0n),
    namespaces: namespacesOf(context, sandbox, security?.namespaceOptions),
    binds: bindsOf(config.mounts, sandboxPaths(context, sandbox), { rootReadonly, recursiveReadonly }),
    devices: config.devices,
    maskedPaths: security?.maskedPaths ?? [],
    readonlyPaths: security?.readonlyPaths ?? [],
    sysctls: {},
    cgroupsPath: cgroupsPathInSpec(from.cgroupsPath),
    cgroup: context.cgroup,
    resources: resourcesRequest(config.linux?.resources),
    seccomp: seccompOf(
      security?.seccomp,
      context.config.seccompProfileRoot ?? join(context.layout.kubeletDir, "seccomp"),
    ),
    annotations: { ...config.annotations, ...scopeAnnotations(from.cgroupsPath) },
  });
  return { spec, user };
}
