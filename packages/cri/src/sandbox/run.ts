import { isDeepStrictEqual } from "node:util";
import { ContainerEventType, NamespaceMode, type PodSandboxConfig } from "@tripod/api/cri";
import { failpoint, messageOf, randomHex, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { CriContext } from "../context.ts";
import { nowNs } from "../now.ts";
import { encodeSandboxConfig, sandboxMetadata, sandboxName, type SandboxRecord } from "../records/sandbox-record.ts";
import { ownCgroup, parentCgroup } from "../runtime/cgroup-driver.ts";
import { handlerOf } from "../runtime/handler.ts";
import { requireInstalled } from "../runtime/handler-report.ts";
import { checkUserNamespaces } from "../runtime/user-namespace-support.ts";
import { limitSandbox } from "./limits.ts";
import { makeNamespaces, planSysctls } from "./namespaces.ts";
import { attachSandbox } from "./network.ts";
import { writeNetworkFiles, writeOwnHost } from "./network-files.ts";
import { checkSandboxSecurity } from "./security.ts";
import { removeSandbox } from "./remove.ts";
import { sandboxPaths } from "./paths.ts";
import { sharesPid, startSharedPid } from "./shared-pid.ts";
import { watchSharedPid } from "./watch-shared-pid.ts";
import { undoSandbox } from "./undo.ts";
import { giveToPod, planUserNamespace } from "./user-namespace.ts";
import { sandboxIsReady } from "./view.ts";

/** The record of a sandbox that is about to be made. A configuration that cannot be met is refused here, before anything is done. */
function planSandbox(context: CriContext, config: PodSandboxConfig, handler: string): SandboxRecord {
  const metadata = sandboxMetadata(config);
  const options = config.linux?.securityContext?.namespaceOptions;
  const userNamespace = planUserNamespace(config);
  handlerOf(context, handler);
  const hostNetwork = options?.network === NamespaceMode.NODE;
  const hostIpc = options?.ipc === NamespaceMode.NODE;
  planSysctls(config.linux?.sysctls ?? {}, { net: !hostNetwork, ipc: !hostIpc, uts: !hostNetwork });
  checkSandboxSecurity(config.linux?.securityContext);
  const id = randomHex(32);
  const asked = config.linux?.cgroupParent ?? "";
  return {
    id,
    name: sandboxName(metadata),
    phase: "making",
    config: encodeSandboxConfig(config),
    handler,
    createdAtNs: String(nowNs()),
    cgroupParent: asked === "" ? ownCgroup(context, id) : parentCgroup(context, asked),
    ownsCgroup: asked === "",
    hostNetwork,
    hostIpc,
    ...(userNamespace !== undefined && { userNamespace }),
    ips: [],
  };
}

/** Makes the sandbox, or returns the one that the very same request has made before. */
export async function runSandbox(
  context: CriContext,
  config: PodSandboxConfig,
  handler: string,
): Promise<SandboxRecord> {
  const metadata = sandboxMetadata(config);
  const name = sandboxName(metadata);
  const made = await context.sandboxCreations.run(name, () =>
    withSpan(
      "cri.runSandbox",
      { "pod.namespace": metadata.namespace, "pod.name": metadata.name, "pod.uid": metadata.uid },
      async (span) => {
        // One whose clean-up failed, or is under way, gives its name back first.
        const ended = context.sandboxes.findByName(name);
        if (ended?.phase === "removing") await removeSandbox(context, ended.id);
        const existing = context.sandboxes.findByName(name);
        if (existing !== undefined) {
          if (sandboxIsReady(context, existing)) return existing;
          throw taken(existing, `is ${existing.phase}`);
        }
        const sandbox = planSandbox(context, config, handler);
        await requireInstalled(handlerOf(context, handler));
        if (sandbox.userNamespace !== undefined) await checkUserNamespaces(context, handler);
        span.set({ "sandbox.id": sandbox.id });
        return await makeSandbox(context, sandbox, config);
      },
    ),
  );
  // It may have been asked for by another request, before or meanwhile.
  if (made.handler !== handler) {
    const [has, asked] = [JSON.stringify(made.handler), JSON.stringify(handler.slice(0, 200))];
    throw taken(made, `has the runtime handler ${has}, not ${asked}`);
  }
  if (!isDeepStrictEqual(made.config, encodeSandboxConfig(config))) throw taken(made, "has another configuration");
  return made;
}

const taken = ({ name, id }: SandboxRecord, why: string): TripodError =>
  new TripodError("already-exists", `sandbox ${name}: ${id} has this name and ${why}; remove it or raise the attempt`);

async function makeSandbox(
  context: CriContext,
  planned: SandboxRecord,
  config: PodSandboxConfig,
): Promise<SandboxRecord> {
  context.sandboxes.put(planned);
  failpoint("cri.sandbox.recorded");
  try {
    await makeNamespaces(context, planned);
    limitSandbox(context, planned);
    const paths = sandboxPaths(context, planned);
    const { hostname } = config;
    writeNetworkFiles(paths, { dns: config.dnsConfig, hostname, hostNetwork: planned.hostNetwork });
    if (planned.userNamespace !== undefined) giveToPod(paths, planned.userNamespace);
    const ips = await attachSandbox(context, planned);
    if (ips[0] !== undefined && hostname !== "") writeOwnHost(paths, ips[0], hostname);
    const init = sharesPid(planned) ? await startSharedPid(context, planned) : undefined;
    const ready: SandboxRecord = { ...planned, phase: "ready", ips, ...(init !== undefined && { init }) };
    await context.nri.runningSandbox(ready);
    context.sandboxes.put(ready);
    await context.nri.madeSandbox(ready, true);
    failpoint("cri.sandbox.ready");
    context.events.emit(ContainerEventType.CONTAINER_CREATED_EVENT, ready.id, ready.id);
    context.events.emit(ContainerEventType.CONTAINER_STARTED_EVENT, ready.id, ready.id);
    watchSharedPid(context, ready);
    return ready;
  } catch (error) {
    try {
      await undoSandbox(context, planned);
    } catch (cleanup) {
      // The record stays in phase "making", by which the next start finds what is left.
      context.log.error({ sandbox: planned.id, error: messageOf(cleanup) }, "sandbox: clean-up after a failure failed");
      context.sandboxes.putIfRoom({ ...planned, phase: "removing" });
    }
    await context.nri.madeSandbox(planned, false);
    throw error;
  }
}
