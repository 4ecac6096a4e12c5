import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Pod } from "@tripod/api/kubernetes";
import { failpoint, messageOf, TripodError } from "@tripod/base";
import { parseResolvConf, podDnsConfig } from "../containers/dns-config.ts";
import { hostsFile } from "../containers/hosts-file.ts";
import { podHostname } from "../containers/pod-hostname.ts";
import { sandboxConfig } from "../containers/sandbox-config.ts";
import type { SandboxConfigInit } from "../cri/cri-client.ts";
import { podPaths } from "../volumes/pod-paths.ts";
import type { PodContext } from "./pod-context.ts";
import { nameOf, namespaceOf, uidOf } from "./pod-facts.ts";
import { podLogFolder } from "./pod-log-folder.ts";

/** Upstream's limit for setting up a sandbox, networks included. */
const runTimeoutMs = 240_000;

/** Where the host's resolver configuration is; systemd-resolved's own file when /etc/resolv.conf is its stub. */
async function hostDns() {
  const main = parseResolvConf(await readFile("/etc/resolv.conf", "utf8").catch(() => ""));
  if (!main.servers.includes("127.0.0.53")) return main;
  const real = await readFile("/run/systemd/resolve/resolv.conf", "utf8").catch(() => undefined);
  return real === undefined ? main : parseResolvConf(real);
}

/** The sandbox configuration of a Pod: the same for its creation and for everything that is put into it later. */
export async function podSandboxConfig(pod: Pod, attempt: number, context: PodContext): Promise<SandboxConfigInit> {
  const { layout, clusterDns, cgroups, userNamespaces } = context;
  const identity = { namespace: namespaceOf(pod), name: nameOf(pod), uid: uidOf(pod) };
  return sandboxConfig({
    pod,
    attempt,
    hostname: podHostname(pod, clusterDns.domain).hostname,
    dns: podDnsConfig(pod, await hostDns(), clusterDns),
    logDirectory: podLogFolder(layout.podLogsDir, identity),
    cgroupParent: (await cgroups()).of(pod),
    seccompDir: join(layout.kubeletDir, "seccomp"),
    users: await userNamespaces.of(pod),
  });
}

async function runtimeHandler(pod: Pod, { objects }: PodContext): Promise<string> {
  const name = pod.spec?.runtimeClassName;
  if (name === undefined || name === "") return "";
  const found = await objects.runtimeClass(name);
  if (found === undefined) throw new TripodError("not-found", `RuntimeClass "${name}" not found`);
  return found.handler;
}

/** A runtime that knows nothing of user namespaces would run the Pod as the host's root. */
async function checkUserNamespaces(pod: Pod, handler: string, { cri }: PodContext, signal: AbortSignal): Promise<void> {
  if (pod.spec?.hostUsers !== false) return;
  const { runtimeHandlers } = await cri.runtime.status({}, { signal, timeoutMs: 10_000 });
  const able = runtimeHandlers.find(({ name }) => name === handler)?.features?.userNamespaces ?? false;
  if (able) return;
  throw new TripodError(
    "failed-precondition",
    `hostUsers is false, and runtime handler ${JSON.stringify(handler)} has no user namespaces on this node; set hostUsers or use another RuntimeClass or node`,
  );
}

/** Creates a sandbox for the Pod; a failure becomes an Event with the runtime's reason, and is thrown on. */
export async function createSandbox(
  pod: Pod,
  attempt: number,
  context: PodContext,
  signal: AbortSignal,
): Promise<string> {
  try {
    const handler = await runtimeHandler(pod, context);
    await checkUserNamespaces(pod, handler, context, signal);
    const config = await podSandboxConfig(pod, attempt, context);
    await mkdir(config.logDirectory ?? "", { recursive: true, mode: 0o755 });
    failpoint("kubelet.sandbox.before-run");
    const request = { config, runtimeHandler: handler };
    const { podSandboxId } = await context.cri.runtime.runPodSandbox(request, { signal, timeoutMs: runTimeoutMs });
    failpoint("kubelet.sandbox.running");
    return podSandboxId;
  } catch (error) {
    if (!signal.aborted) {
      context.events.warning(pod, "FailedCreatePodSandBox", `Failed to create pod sandbox: ${messageOf(error)}`);
    }
    throw error;
  }
}

/** Writes the /etc/hosts that the Pod's containers share, and returns its path. */
export async function writeHostsFile(pod: Pod, podIps: readonly string[], context: PodContext): Promise<string> {
  const path = podPaths(context.layout.kubeletDir, uidOf(pod)).hostsFile;
  const text = hostsFile({
    podIps,
    ...podHostname(pod, context.clusterDns.domain),
    aliases: pod.spec?.hostAliases ?? [],
    hostFile: pod.spec?.hostNetwork === true ? await readFile("/etc/hosts", "utf8").catch(() => "") : undefined,
  });
  await mkdir(dirname(path), { recursive: true, mode: 0o750 });
  // In place: a running container holds the file itself, not its name.
  await writeFile(path, text, { mode: 0o644 });
  return path;
}
