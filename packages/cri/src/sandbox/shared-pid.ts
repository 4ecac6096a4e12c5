import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type LinuxSandboxSecurityContext, NamespaceMode } from "@tripod/api/cri";
import { failpoint, TripodError } from "@tripod/base";
import type { IdMapping } from "@tripod/linux";
import {
  buildApparmor,
  buildRuntimeSpec,
  noResources,
  type ResolvedUser,
  resolveUser,
  type SeccompChoice,
} from "@tripod/oci";
import { checkIds } from "../container/namespace-choice.ts";
import { identify } from "../container/process.ts";
import { apparmorOf, seccompOf, seccompRootOf, userOf } from "../container/security.ts";
import { selinuxOf } from "../container/selinux.ts";
import type { CriContext } from "../context.ts";
import type { ProcessIdentity } from "../records/container-record.ts";
import { sandboxConfigOf, sandboxPidMode, type SandboxRecord } from "../records/sandbox-record.ts";
import { cgroupsPathInSpec, containerCgroup, isScope, scopeAnnotations } from "../runtime/cgroup-driver.ts";
import { removingRuntimeOf, runtimeOf } from "../runtime/handler.ts";
import { sandboxPaths } from "./paths.ts";

/** The id under which the low-level runtime knows a sandbox's init. */
export const initId = (sandbox: Pick<SandboxRecord, "id">): string => `${sandbox.id}-init`;
const initCgroup = (context: CriContext, sandbox: SandboxRecord): string =>
  containerCgroup(context, sandbox.cgroupParent, initId(sandbox));

/** Whether the Pod's containers see one another's processes. */
export const sharesPid = (sandbox: SandboxRecord): boolean => sandboxPidMode(sandbox) === NamespaceMode.POD;

/** Nobody's id, or the last one of a user namespace that has less. */
const nobodyIn = (map: IdMapping | undefined): number => Math.min(65534, (map?.length ?? 65535) - 1);

/** Who the init runs as: whom the sandbox names, else nobody. */
function initUser(security: LinuxSandboxSecurityContext | undefined, sandbox: SandboxRecord): ResolvedUser {
  const { uids, gids } = sandbox.userNamespace ?? {};
  const nobody = `${nobodyIn(uids)}:${nobodyIn(gids)}`;
  const user = resolveUser(userOf(security && { ...security, runAsUsername: "" }, nobody), { passwd: [], group: [] });
  checkIds(sandbox, user);
  return user;
}

/** The sandbox's own filter when it has one; the default one is enough for an init that nobody has spoken of. */
const initSeccomp = (context: CriContext, security: LinuxSandboxSecurityContext | undefined): SeccompChoice =>
  security?.seccomp === undefined && (security?.seccompProfilePath ?? "") === ""
    ? { kind: "runtime-default" }
    : seccompOf(security, seccompRootOf(context));

/**
 * Starts the one process that holds a shared PID namespace open and reaps its orphans. A PID namespace dies with its first process, so
 * this one cannot be pinned by a mount as the others are.
 */
export async function startSharedPid(context: CriContext, sandbox: SandboxRecord): Promise<ProcessIdentity> {
  const program = context.config.initProgram ?? "/usr/bin/catatonit";
  if (!existsSync(program)) {
    throw new TripodError(
      "failed-precondition",
      `share processes in sandbox ${sandbox.id}: ${program} is missing; install catatonit`,
    );
  }
  const paths = sandboxPaths(context, sandbox);
  const rootfs = join(paths.init, "rootfs");
  const cgroup = initCgroup(context, sandbox);
  for (const folder of ["proc", "dev", "sys"]) mkdirSync(join(rootfs, folder), { recursive: true });
  writeFileSync(join(rootfs, "init"), "", { mode: 0o755 });
  const security = sandboxConfigOf(sandbox).linux?.securityContext;
  const spec = buildRuntimeSpec({
    rootfs,
    rootReadonly: true,
    args: ["/init", "-P"],
    cwd: "/",
    environment: ["PATH=/"], // youki starts nothing without one
    terminal: false,
    user: initUser(security, sandbox),
    noNewPrivileges: true,
    privileged: false,
    capabilities: { add: [], drop: ["ALL"], ambient: [] },
    rlimits: {},
    oomScoreAdj: -998,
    namespaces: {
      network: paths.net === undefined ? { kind: "host" } : { kind: "path", path: paths.net },
      ipc: paths.ipc === undefined ? { kind: "host" } : { kind: "path", path: paths.ipc },
      uts: paths.uts === undefined ? { kind: "host" } : { kind: "path", path: paths.uts },
      pid: { kind: "new" },
      user: paths.user === undefined ? { kind: "host" } : { kind: "path", path: paths.user },
      cgroup: { kind: "host" },
    },
    ...(sandbox.userNamespace !== undefined && { idMap: sandbox.userNamespace }),
    binds: [
      {
        source: program,
        destination: "/init",
        readonly: true,
        recursiveReadonly: false,
        propagation: "private",
        // In a user namespace the file cannot be written to anyway: it belongs to nobody in there.
        ready: sandbox.userNamespace !== undefined,
      },
    ],
    devices: [],
    maskedPaths: [],
    readonlyPaths: [],
    sysctls: {},
    cgroupsPath: cgroupsPathInSpec(cgroup),
    cgroup: context.cgroup,
    resources: noResources,
    seccomp: initSeccomp(context, security),
    apparmorProfile: await buildApparmor(apparmorOf(security && { ...security, apparmorProfile: "" })),
    selinux: selinuxOf(context, sandbox, undefined),
    annotations: scopeAnnotations(cgroup),
  });
  writeFileSync(join(paths.init, "config.json"), JSON.stringify(spec));
  const runtime = runtimeOf(context, sandbox.handler);
  const id = initId(sandbox);
  const { pid } = await runtime.create({
    id,
    bundle: paths.init,
    terminal: false,
    stdin: false,
    stdinOnce: false,
    systemdCgroup: isScope(cgroup),
  });
  failpoint("cri.sandbox.init-created");
  const init = identify(pid);
  if (init === undefined) {
    throw new TripodError(
      "internal",
      `share processes in sandbox ${sandbox.id}: ${program} died before it was started`,
    );
  }
  await runtime.start(id, pid);
  return init;
}

/** Ends the shared init, if there is one. */
export async function stopSharedPid(context: CriContext, sandbox: SandboxRecord): Promise<void> {
  if (!sharesPid(sandbox)) return;
  const runtime = removingRuntimeOf(context, sandbox.handler);
  await runtime.delete({ id: initId(sandbox), cgroupsPath: initCgroup(context, sandbox) });
  context.exits.forget(initId(sandbox)); // left when it was killed by somebody else
}
